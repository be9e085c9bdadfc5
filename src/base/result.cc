#include "src/base/result.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace msb::base {

ErrorCode CodeOfErrno(int sys_errno) {
  switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
    case ENODEV:
    case ENXIO:
    case ESRCH:
      return ErrorCode::kNotFound;
    case EEXIST:
    case ENOTEMPTY:
      return ErrorCode::kExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kDenied;
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kNoSpace;
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case EMSGSIZE:
    case ENAMETOOLONG:
      return ErrorCode::kLimit;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
      return ErrorCode::kBusy;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
    case ECONNREFUSED:
      return ErrorCode::kClosed;
    case ETIMEDOUT:
    case ETIME:
      return ErrorCode::kTimeout;
    case EINVAL:
      return ErrorCode::kInvalid;
    case ENOSYS:
    case EOPNOTSUPP:
      return ErrorCode::kUnsupported;
    default:
      return ErrorCode::kSystem;
  }
}

std::string ErrnoText(int sys_errno) {
  if (sys_errno == EFBIG) return "the file would be larger than the limit (see `ulimit -f`)";
  char buffer[128];
  return strerror_r(sys_errno, buffer, sizeof buffer);
}

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "microsandbox: internal error at %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace msb::base
