#include "src/agent/guest/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// <sys/mount.h> and <linux/mount.h> disagree about constants in this libc: only the latter is used.
extern "C" int mount(const char*, const char*, const char*, unsigned long, const void*) noexcept;

#include "src/base/sys.h"

namespace msb::agent {

base::Status MountAt(const std::string& source, const std::string& target, const char* type,
                     unsigned long flags, const std::string& options) {
  if (::mount(source.c_str(), target.c_str(), type, flags, options.c_str()) < 0) {
    return base::FailErrno("cannot mount {} ({}) on {}", source, type == nullptr ? "move" : type,
                           target);
  }
  return {};
}

base::Status EnsureDirectory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return {};
  if (errno == ENOENT) {
    TRY(base::MakeDirectories(path, mode));
    return {};
  }
  struct stat status;
  if (errno == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  errno = ENOTDIR;
  return base::FailErrno("the image's {}", path);
}

base::Status MountInImage(const std::string& source, const std::string& target, const char* type,
                          unsigned long flags, const std::string& options) {
  if (MountAt(source, target, type, flags, options)) return {};
  TRY(EnsureDirectory(target));
  return MountAt(source, target, type, flags, options);
}

base::Result<base::UniqueFd> CloneMount(int dir_fd, const std::string& path) {
  base::UniqueFd fd(
      static_cast<int>(::syscall(SYS_open_tree, dir_fd, path.c_str(),
                                 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW)));
  if (!fd) return base::FailErrno("cannot bind {}", path);
  return fd;
}

base::Result<base::UniqueFd> TakeMount(const std::string& path) {
  base::UniqueFd fd(
      static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path.c_str(), OPEN_TREE_CLOEXEC)));
  if (!fd) return base::FailErrno("cannot open the mount {}", path);
  return fd;
}

base::Status PutMount(int mount_fd, const std::string& target) {
  if (::syscall(SYS_move_mount, mount_fd, "", AT_FDCWD, target.c_str(),
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0) {
    return base::FailErrno("cannot mount on {}", target);
  }
  return {};
}

base::Status MakeReadOnly(int root_fd) {
  const base::UniqueFd context(
      static_cast<int>(::syscall(SYS_fspick, root_fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)));
  if (!context) return base::FailErrno("cannot reconfigure the disk");
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0) < 0 ||
      ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) < 0) {
    return base::FailErrno("cannot make the disk read-only");
  }
  return {};
}

}  // namespace msb::agent
