// The API's messages about processes that outlive a call.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/server/api/doc.h"
#include "src/server/api/run.h"
#include "src/server/api/sandbox.h"

namespace msb::server::api {

inline constexpr Doc kProcessDoc = {"process",
                                    "Id of the process, as sandbox.process.start gave it"};

struct Pty {
  uint16_t columns = 80;
  uint16_t rows = 24;
  static constexpr auto kDocs = Docs({
      {"columns", "Characters a line; default 80"},
      {"rows", "Lines; default 24"},
  });
};
BOOST_DESCRIBE_STRUCT(Pty, (), (columns, rows))

struct ProcessStartParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string command;
  std::vector<std::string> args;
  std::vector<std::string> envs;
  std::optional<std::string> workdir;
  std::optional<std::string> user;
  std::optional<Pty> pty;
  bool stdin_ = false;
  bool keep_all_output = false;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "command"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      {"command", "Program: a path, or a name that is found by PATH; no shell"},
      {"args", "Its arguments"},
      {"envs", "Environment as NAME=VALUE, after the sandbox's"},
      {"workdir", "Working directory; default the sandbox's"},
      {"user", "User, as user[:group]; default the sandbox's"},
      {"pty", "Gives it a terminal of this size; stdin is then one, too"},
      {"stdin_", "Whether sandbox.process.write will give it input; else stdin is at its end"},
      {"keep_all_output",
       "When 1 MiB of a stream was not read: true stops the process until it is, "
       "false (default) drops the oldest"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessStartParams, (),
                      (sandbox, namespace_, command, args, envs, workdir, user, pty, stdin_,
                       keep_all_output))

struct ProcessStarted {
  std::string process;
  uint32_t pid = 0;
  static constexpr auto kDocs = Docs({
      {"process", "Id, for the other calls"},
      {"pid", "Its number in the sandbox"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessStarted, (), (process, pid))

struct ProcessParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string process;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "process"});
  static constexpr auto kDocs = Docs({kSandboxDoc, kNamespaceDoc, kProcessDoc});
};
BOOST_DESCRIBE_STRUCT(ProcessParams, (), (sandbox, namespace_, process))

struct ProcessAttachParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string process;
  uint64_t stdout_offset = 0;
  uint64_t stderr_offset = 0;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "process"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kProcessDoc,
      {"stdout_offset",
       "Where to begin, in bytes since its start; what is kept no more gives a "
       "dropped event first"},
      {"stderr_offset", "Likewise"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessAttachParams, (),
                      (sandbox, namespace_, process, stdout_offset, stderr_offset))

struct ProcessWaitParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string process;
  std::optional<double> timeout;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "process"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kProcessDoc,
      {"timeout", "Seconds after which the call returns, with running true; default no limit"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessWaitParams, (), (sandbox, namespace_, process, timeout))

struct ProcessEnd {
  bool running = false;
  int exit_code = 0;
  std::optional<int> signal;
  bool out_of_memory = false;
  static constexpr auto kDocs = Docs({
      {"running", "It has not ended"},
      {"exit_code", "Its exit code; 128 + n if signal n killed it"},
      {"signal", "The signal that killed it, if one did"},
      {"out_of_memory", "It was killed because the sandbox had no memory left"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessEnd, (), (running, exit_code, signal, out_of_memory))

struct ProcessWriteParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string process;
  std::optional<std::string> text;
  std::optional<std::string> base64;
  bool eof = false;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "process"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kProcessDoc,
      {"text", "What is written to its stdin"},
      {"base64", "Instead of text: any bytes"},
      {"eof", "Nothing follows: its stdin is at its end"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessWriteParams, (), (sandbox, namespace_, process, text, base64, eof))

struct ProcessSignalParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string process;
  std::string signal = "TERM";
  bool group = false;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "process"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kProcessDoc,
      {"signal", "Name or number: TERM, SIGKILL, 2; default TERM"},
      {"group", "To its whole process group (with a pty: what runs in the foreground)"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessSignalParams, (), (sandbox, namespace_, process, signal, group))

struct ProcessResizeParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string process;
  uint16_t columns = 80;
  uint16_t rows = 24;
  static constexpr auto kRequired =
      std::to_array<std::string_view>({"sandbox", "process", "columns", "rows"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kProcessDoc,
      {"columns", "Characters a line"},
      {"rows", "Lines"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessResizeParams, (), (sandbox, namespace_, process, columns, rows))

struct ProcessInfo {
  std::string process;
  uint32_t pid = 0;
  std::vector<std::string> command;
  bool pty = false;
  std::optional<ProcessEnd> ended;
  static constexpr auto kDocs = Docs({
      {"process", "Id"},
      {"pid", "Its number in the sandbox; 0 if it has ended"},
      {"command", "Program and arguments"},
      {"pty", "Whether it has a terminal"},
      {"ended", "How it ended, if it has; sandbox.process.wait gives this and forgets it"},
  });
};
BOOST_DESCRIBE_STRUCT(ProcessInfo, (), (process, pid, command, pty, ended))

struct ProcessList {
  std::vector<ProcessInfo> processes;
  static constexpr auto kDocs =
      Docs({{"processes", "Those that sandbox.process.start made and that were not waited for"}});
};
BOOST_DESCRIBE_STRUCT(ProcessList, (), (processes))

}  // namespace msb::server::api
