#include "src/agent/guest/move_across.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "src/agent/guest/copy_tree.h"
#include "src/agent/guest/file_changes.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

using base::UniqueFd;

// A name, and the directory that it is in.
struct Place {
  UniqueFd parent;
  std::string name;
};

base::Result<Place> FindPlace(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const size_t slash = path.rfind('/');
  Place place;
  place.name = path.substr(slash + 1);
  if (place.name.empty() || place.name == "." || place.name == "..") {
    return base::Fail(base::ErrorCode::kInvalid, "{}: has no name that could be moved", path);
  }
  place.parent = TRY(base::OpenFile(path.substr(0, slash + 1), O_PATH | O_DIRECTORY));
  return place;
}

// Of a directory that is where a file system is mounted the content could be moved, not itself.
base::Result<bool> IsMountPoint(const Place& place) {
  struct statx status;
  if (::statx(place.parent.get(), place.name.c_str(), AT_SYMLINK_NOFOLLOW, 0, &status) < 0) {
    return base::FailErrno("{}", place.name);
  }
  return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Whether the directory is, or is in, the one that `above` describes.
base::Result<bool> IsWithin(const UniqueFd& directory, const struct stat& above) {
  UniqueFd at = TRY(base::Duplicate(directory.get()));
  struct stat status = TRY(base::Stat(at.get()));
  for (;;) {
    if (status.st_dev == above.st_dev && status.st_ino == above.st_ino) return true;
    at = TRY(base::OpenFileAt(at.get(), "..", O_PATH | O_DIRECTORY));
    const struct stat next = TRY(base::Stat(at.get()));
    if (next.st_dev == status.st_dev && next.st_ino == status.st_ino) return false;  // the root
    status = next;
  }
}

class Mover {
 public:
  Mover(const Rename& request, const std::function<void()>& busy)
      : request_(request), busy_(busy) {}

  Outcome<void> Run() {
    if (auto checked = Check(); !checked) return std::unexpected(checked.error());
    if (const base::Status copied = Copy(); !copied) {
      RemoveStaging();
      return std::unexpected(FileFailure(base::Error(copied.error()).WithContext(Named())));
    }
    auto removed = RemoveAs({.path = request_.from, .user = {}, .recursive = true}, {}, busy_);
    if (removed) return {};
    return Refuse(removed.error().code, "{} was copied, but not removed: {}", Named(),
                  removed.error().message.data);
  }

 private:
  std::string Named() const { return request_.from.data + " to " + request_.to.data; }
  Outcome<void> Check();
  base::Status Look();
  base::Status Copy();
  void RemoveStaging();

  const Rename& request_;
  const std::function<void()>& busy_;
  Place from_;
  Place to_;
  struct stat status_ = {};
  std::string staging_;
};

base::Status Mover::Look() {
  from_ = TRY(FindPlace(request_.from.data));
  to_ = TRY(FindPlace(request_.to.data));
  if (::fstatat(from_.parent.get(), from_.name.c_str(), &status_, AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("{}", request_.from.data);
  }
  // It is to be removed from there in the end.
  if (::faccessat(from_.parent.get(), ".", W_OK, AT_EACCESS) < 0) {
    return base::FailErrno("{}", request_.from.data);
  }
  return {};
}

// What the rename at the end would refuse, before anything is copied for it.
Outcome<void> Mover::Check() {
  if (const base::Status looked = Look(); !looked) {
    return std::unexpected(FileFailure(looked.error()));
  }
  const auto mounted = IsMountPoint(from_);
  if (!mounted) return std::unexpected(FileFailure(mounted.error()));
  if (*mounted) {
    return Refuse(FailureCode::kWrongKind,
                  "{}: a file system is mounted there: move what is in it, or unmount it",
                  request_.from.data);
  }
  const bool directory = S_ISDIR(status_.st_mode);
  if (directory) {
    const auto within = IsWithin(to_.parent, status_);
    if (!within) return std::unexpected(FileFailure(within.error()));
    if (*within) {
      return Refuse(FailureCode::kInvalid, "{}: a directory cannot be moved into itself", Named());
    }
  }
  struct stat there;
  if (::fstatat(to_.parent.get(), to_.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) < 0) return {};
  if (!request_.replace) return Refuse(FailureCode::kExists, "{}: exists", request_.to.data);
  if (S_ISDIR(there.st_mode) != directory) {
    return Refuse(FailureCode::kWrongKind, "{}: only one of them is a directory", Named());
  }
  return {};
}

base::Status Mover::Copy() {
  // A name has at most 255 bytes, and needs room for ours.
  const std::string name = fmt::format(".{}.{}.part", to_.name.substr(0, 200), base::RandomHex(4));
  if (::mkdirat(to_.parent.get(), name.c_str(), 0700) < 0) return base::FailErrno("{}", name);
  staging_ = name;
  const UniqueFd staging =
      TRY(base::OpenFileAt(to_.parent.get(), staging_, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(CopyEntry(from_.parent.get(), staging.get(), from_.name, busy_));
  // What is removed then must not be all that there is after a crash.
  if (::syncfs(staging.get()) < 0) return base::FailErrno("cannot flush the copy");
  if (::renameat2(staging.get(), from_.name.c_str(), to_.parent.get(), to_.name.c_str(),
                  request_.replace ? 0 : RENAME_NOREPLACE) < 0) {
    return base::FailErrno("cannot put the copy in place");
  }
  RemoveStaging();
  return {};
}

void Mover::RemoveStaging() {
  if (!staging_.empty()) (void)base::RemoveTreeAt(to_.parent.get(), staging_);
}

}  // namespace

Outcome<void> MoveAcross(const Rename& request, const std::function<void()>& busy) {
  return Mover(request, busy).Run();
}

}  // namespace msb::agent
