// The options of `msb image import` and `load`, from words to what they mean. Errors are kInvalid
// and quote what was given. Values.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/image/import.h"

namespace msb::image {

// As on the command line.
struct ImportWords {
  std::string path;
  std::vector<std::string> tags;
  std::vector<std::string> entrypoint;  // words, or one JSON array
  std::vector<std::string> cmd;
  std::vector<std::string> env;
  std::string workdir;
  std::string user;
  std::string stop_signal;
};

// A name to give an image, as the store has it (TaggedName).
base::Result<std::string> ParseTag(const std::string& text);
base::Result<std::vector<std::string>> ParseTags(const std::vector<std::string>& tags);
base::Result<ImportOptions> ParseImport(const ImportWords& words);

}  // namespace msb::image
