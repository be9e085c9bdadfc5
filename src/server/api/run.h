// The API's messages about running code and programs, with what comes of it.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/server/api/doc.h"
#include "src/server/api/sandbox.h"

namespace msb::server::api {

inline constexpr Doc kLanguageDoc = {"language", "python, node, nodejs or javascript"};
inline constexpr Doc kContextDoc = {
    "context",
    "Name of the context whose variables are used; default \"default\". Made when first named"};

// One line of output (text-only view), its newline left out.
struct OutputLine {
  std::string stream;
  std::string text;
  static constexpr auto kDocs = Docs({
      {"stream", "stdout or stderr"},
      {"text", "The line, without its newline; what is not UTF-8 is replaced by U+FFFD"},
  });
};
BOOST_DESCRIBE_STRUCT(OutputLine, (), (stream, text))

// A value by MIME type.
struct Display {
  bool result = false;
  std::map<std::string, std::string> data;
  std::map<std::string, uint64_t> omitted;
  static constexpr auto kDocs = Docs({
      {"result", "It is the value of the last expression, not something that was displayed"},
      {"data",
       "By MIME type: text as it is, binary types such as image/png in base64, "
       "application/json as JSON text"},
      {"omitted", "Types that were too large, with their sizes in bytes"},
  });
};
BOOST_DESCRIBE_STRUCT(Display, (), (result, data, omitted))

struct Exception {
  std::string name;
  std::string value;
  std::vector<std::string> traceback;
  static constexpr auto kDocs = Docs({
      {"name", "Its type, such as ValueError"},
      {"value", "Its message"},
      {"traceback", "Lines, as the language prints them"},
  });
};
BOOST_DESCRIBE_STRUCT(Exception, (), (name, value, traceback))

struct ReplParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string language;
  std::string code;
  std::optional<double> timeout;
  std::string context = "default";
  static constexpr auto kRequired =
      std::to_array<std::string_view>({"sandbox", "language", "code"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kLanguageDoc,
      {"code", "The code, at most 4 MiB"},
      {"timeout", "Seconds after which the code is interrupted, then killed; default no limit"},
      kContextDoc,
  });
};
BOOST_DESCRIBE_STRUCT(ReplParams, (), (sandbox, namespace_, language, code, timeout, context))

enum class RunEnd { kOk, kError, kInterrupted, kTimeout, kExited };
BOOST_DESCRIBE_ENUM(RunEnd, kOk, kError, kInterrupted, kTimeout, kExited)

struct ReplResult {
  std::string status = "success";
  std::string language;
  std::vector<OutputLine> output;
  RunEnd end = RunEnd::kOk;
  std::vector<Display> displays;
  std::optional<Exception> exception;
  bool truncated = false;
  static constexpr auto kDocs = Docs({
      {"status", "success: the code was run, whatever came of it (see end)"},
      {"language", "python or node"},
      {"output",
       "In order of arrival across streams, one entry a line; values shown and "
       "tracebacks are in it as text. Empty in a stream"},
      {"end",
       "ok; error: an exception that nobody caught; interrupted; timeout; exited: the "
       "context ended, the next run starts a new one"},
      {"displays", "Values shown, by MIME type. Empty in a stream"},
      {"exception", "Absent unless there was one"},
      {"truncated",
       "There was more output than a result holds (8 MiB, 1000 displays): use a stream"},
  });
};
BOOST_DESCRIBE_STRUCT(ReplResult, (),
                      (status, language, output, end, displays, exception, truncated))

struct CommandParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string command;
  std::vector<std::string> args;
  std::optional<double> timeout;
  std::vector<std::string> envs;
  std::optional<std::string> workdir;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "command"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      {"command", "Program: a path, or a name that is found by PATH; no shell"},
      {"args", "Its arguments"},
      {"timeout", "Seconds after which it is killed and the call fails; default no limit"},
      {"envs", "Environment as NAME=VALUE, after the sandbox's"},
      {"workdir", "Working directory; default the sandbox's"},
      {"user", "User, as user[:group]; default the sandbox's"},
  });
};
BOOST_DESCRIBE_STRUCT(CommandParams, (),
                      (sandbox, namespace_, command, args, timeout, envs, workdir, user))

struct CommandResult {
  std::string command;
  std::vector<std::string> args;
  int exit_code = 0;
  bool success = false;
  bool out_of_memory = false;
  std::vector<OutputLine> output;
  bool truncated = false;
  static constexpr auto kDocs = Docs({
      {"command", "As it was given"},
      {"args", "As they were given"},
      {"exit_code", "Its exit code; 128 + n if signal n killed it"},
      {"success", "Whether the exit code is 0"},
      {"out_of_memory", "It was killed because the sandbox had no memory left"},
      {"output", "In order of arrival across streams, one entry a line. Empty in a stream"},
      {"truncated", "There was more output than a result holds (8 MiB): use a stream"},
  });
};
BOOST_DESCRIBE_STRUCT(CommandResult, (),
                      (command, args, exit_code, success, out_of_memory, output, truncated))

// --- contexts
struct ContextParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string language;
  std::string context = "default";
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "language"});
  static constexpr auto kDocs = Docs({kSandboxDoc, kNamespaceDoc, kLanguageDoc, kContextDoc});
};
BOOST_DESCRIBE_STRUCT(ContextParams, (), (sandbox, namespace_, language, context))

struct ContextCreateParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string language;
  std::string context = "default";
  std::vector<std::string> envs;
  std::optional<std::string> workdir;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "language"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kLanguageDoc,
      kContextDoc,
      {"envs", "Environment as NAME=VALUE, after the sandbox's"},
      {"workdir", "Working directory; default the sandbox's"},
      {"user", "User, as user[:group]; default the sandbox's"},
  });
};
BOOST_DESCRIBE_STRUCT(ContextCreateParams, (),
                      (sandbox, namespace_, language, context, envs, workdir, user))

struct ContextInfo {
  std::string context;
  std::string language;
  std::string language_version;
  bool busy = false;
  uint64_t runs = 0;
  static constexpr auto kDocs = Docs({
      {"context", "Name"},
      {"language", "python or node"},
      {"language_version", "Such as 3.11.2"},
      {"busy", "Whether it runs code now"},
      {"runs", "How often it has run code"},
  });
};
BOOST_DESCRIBE_STRUCT(ContextInfo, (), (context, language, language_version, busy, runs))

struct ContextList {
  std::vector<ContextInfo> contexts;
  static constexpr auto kDocs = Docs({{"contexts", "In the order of language and name"}});
};
BOOST_DESCRIBE_STRUCT(ContextList, (), (contexts))

// --- what a stream says before its last event, the response (Sink, service.h)
struct OutputEvent {
  std::string stream;
  std::optional<std::string> text;
  std::optional<std::string> base64;
  std::optional<uint64_t> offset;
  static constexpr auto kDocs = Docs({
      {"stream", "stdout or stderr (a process with a pty: stdout)"},
      {"text", "A piece of output, cut anywhere but within a character"},
      {"base64", "Instead of text, where it is not UTF-8"},
      {"offset", "Of processes: of the piece's first byte, since the process started"},
  });
};
BOOST_DESCRIBE_STRUCT(OutputEvent, (), (stream, text, base64, offset))

struct DroppedEvent {
  std::string stream;
  uint64_t bytes = 0;
  static constexpr auto kDocs = Docs({
      {"stream", "stdout or stderr"},
      {"bytes", "So many bytes of output are kept no more"},
  });
};
BOOST_DESCRIBE_STRUCT(DroppedEvent, (), (stream, bytes))

}  // namespace msb::server::api
