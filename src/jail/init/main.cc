// msb-jail-init: PID 1 of jail B. Starts the guest kernel and says how it ended.
//
// User-Mode Linux must not be PID 1 itself: the kernel ignores its abort() there and it would spin
// for ever. This process holds nothing but two descriptors and its arguments, which are the
// kernel's.
//
//   descriptor 3   the kernel's executable
//   descriptor 4   a pipe: receives the kernel's wait status (int), or -errno if it was not started
//   descriptor 5   if open: the lock on the host identity, held until all of the jail is gone
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int kKernelFd = 3;
constexpr int kStatusFd = 4;
constexpr int kIdentityLockFd = 5;

int Report(int status) { return write(kStatusFd, &status, sizeof status) == sizeof status ? 0 : 1; }

}  // namespace

int main(int, char** argv, char** envp) {
  fcntl(kKernelFd, F_SETFD, FD_CLOEXEC);
  fcntl(kStatusFd, F_SETFD, FD_CLOEXEC);
  fcntl(kIdentityLockFd, F_SETFD, FD_CLOEXEC);
  const pid_t kernel = fork();
  if (kernel < 0) return Report(-errno);
  if (kernel == 0) {
    syscall(SYS_execveat, kKernelFd, "", argv, envp, AT_EMPTY_PATH);
    Report(-errno);
    _exit(127);
  }
  // The kernel's standard error must end with the kernel, so it is not kept open here.
  syscall(SYS_close_range, 0, kKernelFd, 0);
  int status;
  pid_t ended;
  do {
    ended = waitpid(-1, &status, 0);  // orphans of the kernel are reaped on the way
  } while (ended != kernel && (ended > 0 || errno == EINTR));
  return Report(ended == kernel ? status : -errno);
}
