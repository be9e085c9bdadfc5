#include "src/agent/guest/move_across.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "src/base/sys.h"

namespace msb::agent {
namespace {

using base::UniqueFd;

constexpr size_t kPieceBytes = 256 * 1024;

// A name, and the directory that it is in.
struct Place {
  UniqueFd parent;
  std::string name;
};

base::Result<Place> FindPlace(std::string path, int flags) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const size_t slash = path.rfind('/');
  Place place;
  place.name = path.substr(slash + 1);
  if (place.name.empty() || place.name == "." || place.name == "..") {
    return base::Fail(base::ErrorCode::kInvalid, "{}: has no name that could be moved", path);
  }
  place.parent = TRY(base::OpenFile(path.substr(0, slash + 1), flags | O_DIRECTORY));
  return place;
}

bool IsSameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool IsUnchanged(const struct stat& before, const struct stat& now) {
  const auto same = [](const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  };
  return IsSameFile(before, now) && before.st_size == now.st_size &&
         same(before.st_mtim, now.st_mtim) && same(before.st_ctim, now.st_ctim);
}

// Up to the end, however long the file is by then. What is only zeros stays a hole.
base::Status CopyContent(int source, int target, const std::function<void()>& busy) {
  const auto buffer = std::make_unique<std::array<std::byte, kPieceBytes>>();
  for (off_t at = 0;;) {
    busy();
    const size_t got = TRY(base::Read(source, *buffer));
    if (got == 0) {
      if (::ftruncate(target, at) < 0) return base::FailErrno("cannot set the copy's size");
      return {};
    }
    const auto data = std::span(*buffer).first(got);
    const bool hole = std::ranges::all_of(data, [](std::byte byte) { return byte == std::byte(); });
    if (!hole) TRY(base::PwriteFull(target, data, static_cast<uint64_t>(at)));
    at += static_cast<off_t>(got);
  }
}

class Mover {
 public:
  Mover(const Rename& request, Attributes attributes, const std::function<void()>& busy)
      : request_(request), attributes_(attributes), busy_(busy) {}

  base::Status Run() {
    TRY(Look());
    base::Status placed = S_ISLNK(status_.st_mode) ? CopyLink() : CopyFile();
    if (placed) placed = Publish();
    if (!placed) {
      if (staged_) (void)::unlinkat(to_.parent.get(), staging_.c_str(), 0);
      return std::move(placed.error()).WithContext(Named());
    }
    return RemoveSource().WithContext(Named() + ": both exist now");
  }

 private:
  std::string Named() const { return request_.from.data + " to " + request_.to.data; }
  base::Status Look();
  base::Status CheckTarget() const;
  base::Status CheckKind(mode_t mode) const;
  base::Status CopyFile();
  base::Status CopyLink();
  base::Status Publish();
  base::Status RemoveSource();

  const Rename& request_;
  const Attributes attributes_;
  const std::function<void()>& busy_;
  Place from_;
  Place to_;
  struct stat status_ = {};  // of what is moved
  std::string staging_;
  bool staged_ = false;
};

// What would be refused at the end, before anything is copied for it.
base::Status Mover::Look() {
  from_ = TRY(FindPlace(request_.from.data, O_PATH));
  to_ = TRY(FindPlace(request_.to.data, O_RDONLY));
  // A name has at most 255 bytes, and needs room for ours.
  staging_ = fmt::format(".{}.{}.part", to_.name.substr(0, 200), base::RandomHex(8));
  if (::fstatat(from_.parent.get(), from_.name.c_str(), &status_, AT_SYMLINK_NOFOLLOW) < 0 ||
      ::faccessat(from_.parent.get(), ".", W_OK, AT_EACCESS) < 0) {
    return base::FailErrno("{}", request_.from.data);
  }
  if (!S_ISLNK(status_.st_mode)) TRY(CheckKind(status_.st_mode));
  return CheckTarget();
}

base::Status Mover::CheckKind(mode_t mode) const {
  if (S_ISREG(mode)) return {};
  return base::Fail(base::ErrorCode::kUnsupported,
                    "{} is {}, and {} is on another file system: only a file can be moved there; "
                    "run a program in the sandbox that moves it, such as mv",
                    request_.from.data, S_ISDIR(mode) ? "a directory" : "not a file",
                    request_.to.data);
}

base::Status Mover::CheckTarget() const {
  struct stat there;
  if (::fstatat(to_.parent.get(), to_.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) < 0) return {};
  if (IsSameFile(there, status_)) {
    return base::Fail(base::ErrorCode::kInvalid, "{}: are the same file", Named());
  }
  errno = EISDIR;
  if (S_ISDIR(there.st_mode)) return base::FailErrno("{}", request_.to.data);
  if (request_.replace) return {};
  return base::Fail(base::ErrorCode::kExists, "{}: exists", request_.to.data);
}

base::Status Mover::CopyFile() {
  const UniqueFd from =
      TRY(base::OpenFileAt(from_.parent.get(), from_.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  status_ = TRY(base::Stat(from.get()));
  TRY(CheckKind(status_.st_mode));
  const UniqueFd to = TRY(
      base::OpenFileAt(to_.parent.get(), staging_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  staged_ = true;
  TRY(CopyContent(from.get(), to.get(), busy_));
  TRY(CopyMetadata(from.get(), to.get(), status_, attributes_));
  if (::fsync(to.get()) < 0) return base::FailErrno("cannot flush the copy");
  if (IsUnchanged(status_, TRY(base::Stat(from.get())))) return {};
  return base::Fail(base::ErrorCode::kBusy, "it has changed while it was moved, and stays there");
}

base::Status Mover::CopyLink() {
  std::string target(PATH_MAX, '\0');
  const ssize_t length =
      ::readlinkat(from_.parent.get(), from_.name.c_str(), target.data(), target.size() - 1);
  if (length < 0) return base::FailErrno("cannot read the link");
  target.resize(static_cast<size_t>(length));
  if (::symlinkat(target.c_str(), to_.parent.get(), staging_.c_str()) < 0) {
    return base::FailErrno("cannot make a link");
  }
  staged_ = true;
  if (::fchownat(to_.parent.get(), staging_.c_str(), status_.st_uid, status_.st_gid,
                 AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("cannot chown");
  }
  return {};
}

base::Status Mover::Publish() {
  const int directory = to_.parent.get();
  const char* name = to_.name.c_str();
  int done = ::renameat2(directory, staging_.c_str(), directory, name,
                         request_.replace ? 0 : RENAME_NOREPLACE);
  // Some file systems lack the flag; a hard link does not replace anything either.
  if (done < 0 && errno == EINVAL && !request_.replace) {
    done = ::linkat(directory, staging_.c_str(), directory, name, 0);
    if (done == 0) (void)::unlinkat(directory, staging_.c_str(), 0);
  }
  if (done < 0) return base::FailErrno("cannot put the copy in place");
  return {};
}

base::Status Mover::RemoveSource() {
  // EINVAL: a file system of which nothing can be flushed.
  if (::fsync(to_.parent.get()) < 0 && errno != EINVAL) {
    return base::FailErrno("cannot flush the new one's directory");
  }
  struct stat now;
  if (::fstatat(from_.parent.get(), from_.name.c_str(), &now, AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("{}", request_.from.data);
  }
  if (!IsUnchanged(status_, now)) {
    return base::Fail(base::ErrorCode::kBusy, "the old one has changed");
  }
  if (::unlinkat(from_.parent.get(), from_.name.c_str(), 0) < 0) {
    return base::FailErrno("cannot remove the old one");
  }
  return {};
}

}  // namespace

base::Status MoveAcross(const Rename& request, Attributes attributes,
                        const std::function<void()>& busy) {
  return Mover(request, attributes, busy).Run();
}

}  // namespace msb::agent
