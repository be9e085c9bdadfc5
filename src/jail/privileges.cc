// Capabilities, no_new_privs, speculation control, and the bond to the parent's life.
#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/jail/child.h"

namespace msb::jail {
namespace {

constexpr unsigned long kSecureBits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

}  // namespace

base::Status DropPrivileges() {
  // Until the kernel says there is no such capability, so that new ones are dropped too.
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
      if (errno == EINVAL) break;
      return base::FailErrno("cannot empty the capability bounding set");
    }
  }
  if (::prctl(PR_SET_SECUREBITS, kSecureBits, 0, 0, 0) < 0) {
    return base::FailErrno("cannot lock securebits");
  }
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
    return base::FailErrno("cannot clear ambient capabilities");
  }
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) < 0) return base::FailErrno("cannot drop capabilities");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    return base::FailErrno("cannot set no_new_privs");
  }
  // Best effort: a CPU that is not affected, or always mitigated, answers ENXIO or ENODEV.
  ::prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_FORCE_DISABLE, 0, 0);
  ::prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE, 0, 0);
  return {};
}

base::Status DieWithParent(int parent_socket) {
  // After the last change of identity, which would clear it.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
    return base::FailErrno("cannot bind to the parent's life");
  }
  // The parent may have died before that; getppid is always 0 in a new pid namespace, so ask the
  // socket.
  char byte;
  if (::recv(parent_socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0) {
    return base::Fail(base::ErrorCode::kClosed, "the parent is gone");
  }
  return {};
}

}  // namespace msb::jail
