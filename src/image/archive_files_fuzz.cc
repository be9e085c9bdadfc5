// Files, links and lookups, one a line: "name" is a file, ">name" and "=name" a symbolic and a hard
// link to the next line; everything is then looked up. A lookup ends, and finds files only.
#include <algorithm>
#include <vector>

#include "src/image/archive_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using msb::image::ArchiveFiles;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto next = [&] {
    const std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    return line;
  };
  ArchiveFiles files;
  std::vector<std::string> names;
  uint64_t count = 0;
  while (!text.empty()) {
    const std::string name = next();
    if (name.starts_with('>')) {
      files.AddSymlink(name.substr(1), next());
    } else if (name.starts_with('=')) {
      files.AddHardLink(name.substr(1), next());
    } else {
      files.AddFile(name, {++count, 1});
    }
    names.push_back(name);
  }
  for (const std::string& name : names) {
    const auto found = files.Find(name);
    if (found) CHECK(found->offset >= 1 && found->offset <= count);
  }
  return 0;
}
