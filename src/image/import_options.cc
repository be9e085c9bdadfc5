#include "src/image/import_options.h"

#include <algorithm>

#include "src/base/bytes.h"
#include "src/base/json.h"
#include "src/image/reference.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

// Words as they are, or one JSON array of them.
base::Result<std::vector<std::string>> Words(const char* flag,
                                             const std::vector<std::string>& given) {
  if (given.size() != 1 || !given.front().starts_with('[')) return given;
  const auto words = base::json::Parse<std::vector<std::string>>(given.front());
  if (!words) return Fail(ErrorCode::kInvalid, "{}: {}", flag, words.error().message());
  return *words;
}

base::Status CheckConfig(const ImageConfig& config) {
  for (const std::string& variable : config.env) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Fail(ErrorCode::kInvalid, "--env {}: not NAME=VALUE",
                  base::EscapeForTerminal(variable));
    }
  }
  if (!config.workdir.empty() && !config.workdir.starts_with('/')) {
    return Fail(ErrorCode::kInvalid, "--workdir {}: not an absolute path",
                base::EscapeForTerminal(config.workdir));
  }
  for (const auto* strings : {&config.entrypoint, &config.cmd, &config.env}) {
    for (const std::string& text : *strings) {
      if (!base::IsValidUtf8(text)) {
        return Fail(ErrorCode::kInvalid, "'{}' is not UTF-8, which an image's configuration is",
                    base::EscapeForTerminal(text));
      }
    }
  }
  return {};
}

}  // namespace

base::Result<std::string> ParseTag(const std::string& text) {
  const Reference reference = TRY(ParseReference(text));
  if (reference.digest.empty()) return reference.TaggedName();
  return Fail(ErrorCode::kInvalid, "{}: a name to give cannot have a digest",
              base::EscapeForTerminal(text));
}

base::Result<std::vector<std::string>> ParseTags(const std::vector<std::string>& tags) {
  std::vector<std::string> names;
  for (const std::string& tag : tags) {
    std::string name = TRY(ParseTag(tag).WithContext("--tag"));
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

base::Result<ImportOptions> ParseImport(const ImportWords& words) {
  ImportOptions options;
  options.names = TRY(ParseTags(words.tags));
  options.config.entrypoint = TRY(Words("--entrypoint", words.entrypoint));
  options.config.cmd = TRY(Words("--cmd", words.cmd));
  options.config.env = words.env;
  options.config.workdir = words.workdir;
  options.config.user = words.user;
  options.config.stop_signal = words.stop_signal;
  TRY(CheckConfig(options.config));
  return options;
}

}  // namespace msb::image
