#include "src/agent/guest/file_access.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace msb::agent {
namespace {

FileKind KindOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return FileKind::kDirectory;
    case S_IFLNK:
      return FileKind::kSymlink;
    case S_IFIFO:
      return FileKind::kFifo;
    case S_IFSOCK:
      return FileKind::kSocket;
    case S_IFCHR:
      return FileKind::kCharacter;
    case S_IFBLK:
      return FileKind::kBlock;
    default:
      return FileKind::kRegular;
  }
}

}  // namespace

ActingAs::ActingAs(const Identity& identity) : active_(identity.uid != 0 || identity.gid != 0) {
  if (!active_) return;
  ::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data());
  ::syscall(SYS_setfsgid, identity.gid);
  ::syscall(SYS_setfsuid, identity.uid);  // gives up the rights of root over files, too
}

ActingAs::~ActingAs() {
  if (!active_) return;
  ::syscall(SYS_setfsuid, ::geteuid());
  ::syscall(SYS_setfsgid, ::getegid());
  ::syscall(SYS_setgroups, 0, nullptr);
}

Outcome<void> CheckPath(const base::Bytes& path) {
  if (path.data.empty() || path.data[0] != '/' || path.data.find('\0') != std::string::npos) {
    return Refuse(FailureCode::kInvalid, "{}: not an absolute path", path.data);
  }
  if (path.data.size() > kMaxPath) {
    return Refuse(FailureCode::kInvalid, "a path of {} bytes; the limit is {}", path.data.size(),
                  kMaxPath);
  }
  return {};
}

FileStatus StatusOf(const struct stat& status) {
  return FileStatus{
      .kind = KindOf(status.st_mode),
      .mode = status.st_mode & 07777,
      .size = static_cast<uint64_t>(std::max<off_t>(status.st_size, 0)),
      .uid = status.st_uid,
      .gid = status.st_gid,
      .modified_ns = status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
}

}  // namespace msb::agent
