// User, pid, mount, net, ipc, uts and cgroup namespaces, all in the one clone3 that makes the
// child, and the single identity that is mapped into them.
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/sys.h"
#include "src/jail/child.h"

namespace msb::jail {
namespace {

constexpr uint64_t kNamespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

base::Status WriteProc(pid_t pid, const char* file, const std::string& text) {
  const std::string path = fmt::format("/proc/{}/{}", pid, file);
  const base::UniqueFd fd = TRY(base::OpenFile(path, O_WRONLY));
  return base::WriteFull(fd.get(), text).WithContext(path);
}

base::Error NamespacesRefused() {
  const int saved = errno;
  if (saved == EPERM || saved == ENOSPC || saved == EUSERS || saved == EACCES || saved == EINVAL) {
    return base::Error(base::ErrorCode::kDenied,
                       fmt::format("this host does not let this user create the namespaces that a "
                                   "sandbox's jail needs ({}). `msb doctor` says what to change",
                                   base::ErrnoText(saved)),
                       saved);
  }
  errno = saved;
  return base::FailErrno("cannot create a jailed process");
}

}  // namespace

base::Result<Child> CloneIntoNamespaces() {
  int pid_fd = -1;
  clone_args arguments = {};
  arguments.flags = kNamespaces | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<uint64_t>(&pid_fd);
  arguments.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return NamespacesRefused();
  return Child{static_cast<pid_t>(pid), base::UniqueFd(pid == 0 ? -1 : pid_fd)};
}

base::Status WriteIdMaps(pid_t child, uid_t host_uid, gid_t host_gid) {
  // An ordinary user may map a group only after giving up setgroups; root's child instead drops
  // its supplementary groups (BecomeInsideId).
  if (::geteuid() != 0) TRY(WriteProc(child, "setgroups", "deny"));
  TRY(WriteProc(child, "uid_map", fmt::format("{} {} 1", kInsideId, host_uid)));
  return WriteProc(child, "gid_map", fmt::format("{} {} 1", kInsideId, host_gid));
}

base::Status BecomeInsideId() {
  if (::setgroups(0, nullptr) < 0 && errno != EPERM) {
    return base::FailErrno("cannot drop supplementary groups");
  }
  if (::setresgid(kInsideId, kInsideId, kInsideId) < 0 ||
      ::setresuid(kInsideId, kInsideId, kInsideId) < 0) {
    return base::FailErrno("cannot take the jail's identity");
  }
  return {};
}

base::Status ProbeFull() {
  Child child = TRY(CloneIntoNamespaces());
  if (child.pid == 0) ::_exit(0);
  TRY(base::WaitPidFd(child.pid_fd.get()));
  return {};
}

}  // namespace msb::jail
