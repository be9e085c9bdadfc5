// Exactly the granted descriptors survive into the program, under the numbers it expects.
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "src/jail/child.h"

namespace msb::jail {
namespace {

// Above every number that a grant may ask for.
constexpr int kScratch = 512;

base::Result<int> MoveUp(int fd) {
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, kScratch);
  if (moved >= 0) return moved;
  if (errno != EINVAL && errno != EMFILE) {
    return base::FailErrno("cannot duplicate descriptor {}", fd);
  }
  return base::Fail(
      base::ErrorCode::kLimit,
      "RLIMIT_NOFILE, the limit of open files, is below {}: raise it (ulimit -n; `msb "
      "doctor` says more)",
      2 * kScratch);
}

}  // namespace

base::Status ArrangeDescriptors(std::span<const FdGrant> grants, std::span<int* const> keep) {
  // First out of the way, since a wanted number may be another grant's source.
  std::vector<int> moved;
  for (const FdGrant& grant : grants) moved.push_back(TRY(MoveUp(grant.fd)));
  for (int* fd : keep) *fd = TRY(MoveUp(*fd));
  if (::syscall(SYS_close_range, 0, kScratch - 1, 0) < 0) {
    return base::FailErrno("cannot close descriptors");
  }
  if (::syscall(SYS_close_range, kScratch, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
    return base::FailErrno("cannot mark descriptors");
  }
  for (size_t i = 0; i < grants.size(); ++i) {
    CHECK(grants[i].at >= 0 && grants[i].at < kScratch);
    if (::dup2(moved[i], grants[i].at) < 0) {
      return base::FailErrno("cannot place descriptor {}", grants[i].at);
    }
  }
  return {};
}

}  // namespace msb::jail
