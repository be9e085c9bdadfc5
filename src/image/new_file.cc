#include "src/image/new_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <utility>

#include "src/base/sys.h"

namespace msb::image {
namespace {

std::string PartialName() { return kPartialPrefix + base::RandomHex(8); }

}  // namespace

base::Status PlaceAt(int dir_fd, const std::string& name,
                     const std::function<base::Status(const std::string& name)>& make,
                     const std::function<base::Status()>& may_replace) {
  base::Status made = make(name);
  if (made || made.error().sys_errno() != EEXIST) return made;
  TRY(may_replace());
  const std::string partial = PartialName();
  TRY(make(partial));
  base::Status renamed;
  if (::renameat(dir_fd, partial.c_str(), dir_fd, name.c_str()) < 0) {
    renamed = base::FailErrno("cannot replace");
  }
  // Also if both were names of one file: then rename(2) does nothing.
  ::unlinkat(dir_fd, partial.c_str(), 0);
  return renamed;
}

base::Result<NewFile> NewFile::Create(int dir_fd) {
  auto unnamed = base::OpenFileAt(dir_fd, ".", O_TMPFILE | O_RDWR, 0600);
  if (unnamed) return NewFile(*std::move(unnamed), dir_fd, "");
  const int error = unnamed.error().sys_errno();
  // ENOENT: an overlay without room for such files; EISDIR: a kernel that knows of none.
  if (error != EOPNOTSUPP && error != EISDIR && error != ENOENT && error != EINVAL) {
    return base::Error(unnamed.error().code(), "cannot create: " + base::ErrnoText(error), error);
  }
  std::string name = PartialName();
  base::UniqueFd named =
      TRY(base::OpenFileAt(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  return NewFile(std::move(named), dir_fd, std::move(name));
}

NewFile::NewFile(NewFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      dir_fd_(other.dir_fd_),
      partial_(std::exchange(other.partial_, "")) {}

NewFile::~NewFile() {
  if (!partial_.empty()) ::unlinkat(dir_fd_, partial_.c_str(), 0);
}

base::Status NewFile::Publish(const std::string& name,
                              const std::function<base::Status()>& may_replace) {
  if (partial_.empty()) {
    return PlaceAt(
        dir_fd_, name,
        [this](const std::string& as) { return base::LinkUnnamed(fd_.get(), dir_fd_, as); },
        may_replace);
  }
  if (::renameat2(dir_fd_, partial_.c_str(), dir_fd_, name.c_str(), RENAME_NOREPLACE) < 0) {
    // EINVAL: a file system without that flag; then whoever asked has to say.
    if (errno != EEXIST && errno != EINVAL) return base::FailErrno("cannot name the file");
    TRY(may_replace());
    if (::renameat(dir_fd_, partial_.c_str(), dir_fd_, name.c_str()) < 0) {
      return base::FailErrno("cannot replace");
    }
  }
  partial_.clear();
  return {};
}

}  // namespace msb::image
