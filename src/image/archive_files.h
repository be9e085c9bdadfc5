// ArchiveFiles: the files of a converted tar by path, with the symbolic links between them.
//
// Built from the converter's index, which is hostile: every offset is checked when it is read, not
// here. Lookups follow links within the archive, up to 40; `..` above its root and absolute targets
// are refused. A value; any thread. Errors: kNotFound, kCorrupt for links that lead out or in
// circles, kLimit for an index larger than archives of images have.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "src/base/result.h"

namespace msb::image {

class ArchiveFiles {
 public:
  struct Part {  // of the archive's blob
    uint64_t offset = 0;
    uint64_t size = 0;
  };

  // Later entries replace earlier ones of the same path.
  void AddFile(const std::string& path, Part part);
  void AddHardLink(const std::string& path, const std::string& target);
  void AddSymlink(const std::string& path, const std::string& target);
  void Remove(const std::string& path);

  base::Result<Part> Find(std::string_view path) const;

 private:
  std::map<std::string, Part> files_;
  std::map<std::string, std::shared_ptr<const std::string>> links_;  // hard links share them
};

// From the index that a conversion wrote.
base::Result<ArchiveFiles> ReadArchiveFiles(int index_fd);

}  // namespace msb::image
