// NewFile: a file that has no name, or none that anybody looks for, until it is whole.
//
// Unnamed (O_TMPFILE) where the file system can, else under a random name of kPartialPrefix, which
// goes with the object. A kill leaves nothing, or such a name, never half a file under its own.
// PlaceAt does the same for links: whatever non-directory has the name is replaced in one step.
//
// One thread. Directories are descriptors (O_PATH will do), borrowed.
#pragma once

#include <functional>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::image {

inline constexpr const char* kPartialPrefix = ".msb-partial-";

// `make` creates a name that does not exist, and fails with kExists if it does. `may_replace` is
// asked first if the name is taken; its error is the result.
base::Status PlaceAt(int dir_fd, const std::string& name,
                     const std::function<base::Status(const std::string& name)>& make,
                     const std::function<base::Status()>& may_replace);

class NewFile {
 public:
  static base::Result<NewFile> Create(int dir_fd);
  NewFile(NewFile&&) noexcept;
  ~NewFile();

  int fd() const { return fd_.get(); }
  base::Status Publish(const std::string& name, const std::function<base::Status()>& may_replace);

 private:
  NewFile(base::UniqueFd fd, int dir_fd, std::string partial)
      : fd_(std::move(fd)), dir_fd_(dir_fd), partial_(std::move(partial)) {}

  base::UniqueFd fd_;
  int dir_fd_;
  std::string partial_;  // its name, if it needs one
};

}  // namespace msb::image
