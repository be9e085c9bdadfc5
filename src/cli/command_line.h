// The command line of msb, parsed: the one place that knows CLI11. spec/cli.md, "Commands".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "src/base/affinity.h"
#include "src/base/bytes.h"
#include "src/base/command_description.h"
#include "src/base/log.h"
#include "src/base/result.h"
#include "src/cli/copy_side.h"
#include "src/image/disk.h"

namespace msb::cli {

enum class Engine { kAuto, kUml, kKvm };

struct ExeOptions {
  std::string image;
  std::string exec;  // empty: the image's program
  uint32_t cpus = 1;
  uint64_t memory_bytes = 1024ull << 20;
  uint64_t disk_bytes = image::kDefaultDiskBytes;
  std::vector<base::Bytes> env;
  base::CpuList cpu_list;  // of the host, that it may run on; empty: those that msb may
  std::string workdir;     // empty: the image's
  std::string user;        // empty: the image's
  Engine engine = Engine::kAuto;
  std::string name;  // empty: none was asked for
  bool detach = false;
  bool tty = false;  // detached: a pty for whoever attaches
  std::optional<uint64_t> lifetime_ms;
  std::optional<uint64_t> idle_ms;
  std::vector<std::string> arguments;  // after "--"
};

struct ExecOptions {
  std::string sandbox;
  bool input = false;
  bool tty = false;
  std::vector<base::Bytes> env;
  std::string workdir;                 // empty: the sandbox's
  std::string user;                    // empty: the sandbox's
  std::vector<std::string> arguments;  // the program and its arguments
};

struct AttachOptions {
  std::string sandbox;
  bool input = true;
};

struct CopyOptions {
  CopySide source;
  CopySide destination;
  bool recursive = false;
  bool quiet = false;
  std::string user;  // in the sandbox; empty: root
};

struct PsOptions {
  bool all = false;
  bool json = false;
};

struct LogsOptions {
  std::string sandbox;
  bool follow = false;
  bool json = false;
  std::optional<uint64_t> tail;  // lines
};

struct StopOptions {
  std::vector<std::string> sandboxes;
  uint32_t grace_s = 10;
};

struct RemoveOptions {
  std::vector<std::string> sandboxes;
  bool all = false;
};

struct ResumeOptions {
  std::vector<std::string> sandboxes;
};

struct ImageOptions {
  std::vector<std::string> arguments;  // for msb-image, which parses them itself
};

struct ServerOptions {
  std::vector<std::string> arguments;  // for msb-server, likewise
};

struct DoctorOptions {
  bool json = false;
};

enum class Shell { kBash, kZsh, kFish };

struct CompletionOptions {
  Shell shell = Shell::kBash;
};

struct VersionOptions {};

struct CommandLine {
  base::LogLevel log_level = base::LogLevel::kWarning;
  std::variant<VersionOptions, ExeOptions, ExecOptions, AttachOptions, CopyOptions, PsOptions,
               LogsOptions, StopOptions, RemoveOptions, ResumeOptions, ImageOptions, ServerOptions,
               DoctorOptions, CompletionOptions>
      command;
};

// What to print and with which code to leave, instead of running anything.
struct Leave {
  std::string text;
  int code = 0;  // 0: help, to standard output; else an error, to standard error
};

inline constexpr uint64_t kMinMemory = 64ull << 20;
inline constexpr uint64_t kMaxMemory = 64ull << 30;

std::variant<CommandLine, Leave> ParseCommandLine(int argc, const char* const* argv);

// What all of it can be: msb itself, with its commands.
base::CommandDescription DescribeCommands();

}  // namespace msb::cli
