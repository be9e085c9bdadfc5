// The commands of msb-image (`msb image …`): options in, text out. The only file that knows CLI11
// is command_line.cc; each command is a function of its options.
//
// Exit codes: 0; 1 with one message on standard error; 2 for a wrong command line. What a command
// brings is printed on standard output, progress on standard error.
#pragma once

#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/base/result.h"
#include "src/image/import.h"

namespace msb::image {

struct CommonOptions {
  std::string home;
  bool json = false;
  bool quiet = false;
};

// `path`: a file, a directory, or "-". Names are TaggedName.
base::Status RunLoad(const CommonOptions& common, const std::string& path,
                     const std::vector<std::string>& names);
base::Status RunImport(const CommonOptions& common, const std::string& path,
                       const ImportOptions& options);
base::Status RunSave(const CommonOptions& common, const std::vector<std::string>& references,
                     const std::string& path);
base::Status RunTag(const CommonOptions& common, const std::string& source,
                    const std::string& name);
// Without `force` no image that a sandbox's disk was made over.
base::Status RunRemove(const CommonOptions& common, const std::vector<std::string>& references,
                       bool force);
base::Status RunCheck(const CommonOptions& common);
// listing.cc
base::Status RunList(const CommonOptions& common);
base::Status RunInspect(const CommonOptions& common, const std::string& reference);

// To standard output.
base::Status Print(const std::string& text);
base::Status PrintJson(const base::json::Value& value);

// command_line.cc: parses, runs, reports; the exit code.
int RunCommandLine(int argc, char** argv);

}  // namespace msb::image
