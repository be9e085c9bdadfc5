// The jail's root: one tmpfs and nothing else. The host's file systems are unmounted from the
// child's mount namespace, not merely hidden.
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/sys.h"
#include "src/jail/child.h"

namespace msb::jail {
namespace {

base::Status SetOption(int context, const char* key, const std::string& value) {
  if (::syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value.c_str(), 0) < 0) {
    return base::FailErrno("tmpfs option {}={}", key, value);
  }
  return {};
}

base::Result<base::UniqueFd> MakeTmpfs(const Root& root, bool huge) {
  base::UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context) return base::FailErrno("cannot open a tmpfs");
  TRY(SetOption(context.get(), "size", fmt::format("{}", root.size_bytes)));
  TRY(SetOption(context.get(), "nr_inodes", fmt::format("{}", root.inodes)));
  TRY(SetOption(context.get(), "mode", "0700"));
  if (huge) TRY(SetOption(context.get(), "huge", "within_size"));
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) {
    return base::FailErrno("cannot create a tmpfs");
  }
  base::UniqueFd mounted(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC,
                                                    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)));
  if (!mounted) return base::FailErrno("cannot mount a tmpfs");
  return mounted;
}

}  // namespace

base::Status EnterEmptyRoot(const Root& root) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
    return base::FailErrno("cannot make the mount namespace private");
  }
  // Huge pages are a gain in speed only: a host that refuses them gets plain pages.
  base::Result<base::UniqueFd> tmpfs = MakeTmpfs(root, root.huge_pages);
  if (!tmpfs && root.huge_pages) tmpfs = MakeTmpfs(root, false);
  const base::UniqueFd mounted = TRY(std::move(tmpfs));
  // Any directory will do as the mount point, the whole tree goes away below; "/" itself always
  // exists.
  if (::syscall(SYS_move_mount, mounted.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0) {
    return base::FailErrno("cannot place the jail's root");
  }
  if (::fchdir(mounted.get()) < 0) return base::FailErrno("cannot enter the jail's root");
  // pivot_root(".", ".") stacks the old root over the new one; detaching it leaves the new one.
  if (::syscall(SYS_pivot_root, ".", ".") < 0) return base::FailErrno("cannot change the root");
  if (::umount2(".", MNT_DETACH) < 0) return base::FailErrno("cannot leave the host's root");
  if (::chdir("/") < 0) return base::FailErrno("cannot enter the jail's root");
  return {};
}

base::Status SealRoot(const Root& root) {
  if (root.writable) return {};
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC;
  if (::syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof attributes) < 0) {
    return base::FailErrno("cannot make the jail's root read-only");
  }
  return {};
}

}  // namespace msb::jail
