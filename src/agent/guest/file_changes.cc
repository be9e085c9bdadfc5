#include "src/agent/guest/file_changes.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/agent/guest/file_access.h"
#include "src/agent/guest/move_across.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

// The failure of the system call that has just failed.
std::unexpected<Failure> Failed(const base::Bytes& path) {
  return std::unexpected(FileFailure(base::FailErrno("{}", path.data)));
}

bool IsDirectory(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// Every directory above `path` that is missing. Links are followed: a path is the user's.
bool MakeParents(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (::mkdir(parent.c_str(), 0755) < 0 && errno != EEXIST) return false;
  }
  return true;
}

}  // namespace

Outcome<void> MakeDirectoryAs(const MakeDirectory& request, const Identity& identity) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  const ActingAs user(identity);
  const NoUmask exactly;
  const std::string& path = request.path.data;
  if (request.parents && !MakeParents(path)) return Failed(request.path);
  if (::mkdir(path.c_str(), request.mode & 07777) == 0) {
    // mkdir(2) drops set-user-ID and the like; a directory's sticky bit is worth a second call.
    if ((request.mode & 07000) != 0 && ::chmod(path.c_str(), request.mode & 07777) < 0) {
      return Failed(request.path);
    }
    return {};
  }
  if (errno == EEXIST && request.parents && IsDirectory(path)) return {};
  errno = request.parents && errno == EEXIST ? ENOTDIR : errno;
  return Failed(request.path);
}

Outcome<void> RenameAs(const Rename& request, const Identity& identity,
                       const std::function<void()>& busy) {
  for (const base::Bytes* path : {&request.from, &request.to}) {
    if (auto checked = CheckPath(*path); !checked) return std::unexpected(checked.error());
  }
  const ActingAs user(identity);
  if (::renameat2(AT_FDCWD, request.from.data.c_str(), AT_FDCWD, request.to.data.c_str(),
                  request.replace ? 0 : RENAME_NOREPLACE) == 0) {
    return {};
  }
  if (errno == EXDEV) {
    const auto which = identity.uid == 0 ? Attributes::kAll : Attributes::kOfUsers;
    if (const base::Status moved = MoveAcross(request, which, busy); !moved) {
      return std::unexpected(FileFailure(moved.error()));
    }
    return {};
  }
  return std::unexpected(
      FileFailure(base::FailErrno("{} to {}", request.from.data, request.to.data)));
}

Outcome<void> ChangeModeAs(const ChangeMode& request, const Identity& identity) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  const ActingAs user(identity);
  if (::chmod(request.path.data.c_str(), request.mode & 07777) < 0) return Failed(request.path);
  return {};
}

Outcome<void> MakeSymlinkAs(const MakeSymlink& request, const Identity& identity) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  const std::string& target = request.target.data;
  if (target.empty() || target.size() > kMaxPath || target.find('\0') != std::string::npos) {
    return Refuse(FailureCode::kInvalid, "{}: not a target of a link", target.substr(0, 256));
  }
  const ActingAs user(identity);
  if (::symlink(target.c_str(), request.path.data.c_str()) < 0) return Failed(request.path);
  return {};
}

Outcome<base::Bytes> ReadSymlinkAs(const ReadSymlink& request, const Identity& identity) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  const ActingAs user(identity);
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlink(request.path.data.c_str(), target.data(), target.size());
  if (length < 0 && errno == EINVAL) {
    return Refuse(FailureCode::kWrongKind, "{}: not a symbolic link", request.path.data);
  }
  if (length < 0) return Failed(request.path);
  target.resize(static_cast<size_t>(length));
  return base::Bytes(std::move(target));
}

}  // namespace msb::agent
