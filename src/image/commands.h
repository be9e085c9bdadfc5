// The commands of msb-image (`msb image …`): arguments in, text out. The only file that knows
// CLI11 is command_line.cc; each command is a function of its options.
//
// Exit codes: 0, or 1 with one message on standard error. What a command brings is printed on
// standard output, progress on standard error.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"

namespace msb::image {

struct CommonOptions {
  std::string home;
  bool json = false;
  bool quiet = false;
};

struct LoadOptions {
  std::string path;
  std::vector<std::string> tags;
};

struct ImportCommandOptions {
  std::string path;
  std::vector<std::string> tags;
  std::vector<std::string> entrypoint;  // words, or one JSON array
  std::vector<std::string> cmd;
  std::vector<std::string> env;
  std::string workdir;
  std::string user;
  std::string stop_signal;
};

base::Status RunLoad(const CommonOptions& common, const LoadOptions& options);
base::Status RunImport(const CommonOptions& common, const ImportCommandOptions& options);
base::Status RunList(const CommonOptions& common);
base::Status RunInspect(const CommonOptions& common, const std::string& reference);
base::Status RunRemove(const CommonOptions& common, const std::vector<std::string>& references);
base::Status RunCheck(const CommonOptions& common);

// command_line.cc: parses, runs, reports; the exit code.
int RunCommandLine(int argc, char** argv);

}  // namespace msb::image
