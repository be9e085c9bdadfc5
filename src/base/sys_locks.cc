// Locks. See sys.h.
#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>

#include "src/base/retry.h"
#include "src/base/sys.h"

namespace msb::base {
namespace {

Status Lock(int fd, int command, LockMode mode, off_t start = 0, off_t length = 0) {
  struct flock lock = {};
  lock.l_type = mode == LockMode::kShared ? F_RDLCK : F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  if (Retry([&] { return ::fcntl(fd, command, &lock); }) < 0) {
    if (errno == EAGAIN || errno == EACCES)
      return Fail(ErrorCode::kBusy, "locked by another process");
    return FailErrno("cannot lock");
  }
  return {};
}

}  // namespace

Status TryLock(int fd, LockMode mode) { return Lock(fd, F_OFD_SETLK, mode); }
Status WaitLock(int fd, LockMode mode) { return Lock(fd, F_OFD_SETLKW, mode); }

Status WaitLockByte(int fd, uint64_t position) {
  return Lock(fd, F_OFD_SETLKW, LockMode::kExclusive, static_cast<off_t>(position), 1);
}

Status TryLockByte(int fd, uint64_t position) {
  return Lock(fd, F_OFD_SETLK, LockMode::kExclusive, static_cast<off_t>(position), 1);
}

Status UnlockByte(int fd, uint64_t position) {
  struct flock lock = {};
  lock.l_type = F_UNLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(position);
  lock.l_len = 1;
  if (::fcntl(fd, F_OFD_SETLK, &lock) < 0) return FailErrno("cannot unlock");
  return {};
}

Result<std::optional<LockedRange>> FindLock(int fd, LockedRange within) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(within.start);
  lock.l_len = static_cast<off_t>(within.length);
  if (::fcntl(fd, F_OFD_GETLK, &lock) < 0) return FailErrno("cannot query locks");
  if (lock.l_type == F_UNLCK) return std::nullopt;
  const uint64_t end = within.start + within.length;
  const uint64_t start = std::max(within.start, static_cast<uint64_t>(lock.l_start));
  // A length of 0 means: to the end of all files.
  const uint64_t locked_end =
      lock.l_len == 0
          ? end
          : std::min(end, static_cast<uint64_t>(lock.l_start) + static_cast<uint64_t>(lock.l_len));
  return LockedRange{start, locked_end - start};
}

Status TryLockDescriptor(int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return {};
  if (errno == EWOULDBLOCK) return Fail(ErrorCode::kBusy, "locked by another process");
  return FailErrno("cannot lock");
}

Result<bool> IsLocked(int fd) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_GETLK, &lock) < 0) return FailErrno("cannot query a lock");
  return lock.l_type != F_UNLCK;
}

}  // namespace msb::base
