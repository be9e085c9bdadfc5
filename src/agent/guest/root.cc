#include "src/agent/guest/root.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "src/agent/guest/etc_files.h"
#include "src/agent/guest/given_files.h"
#include "src/agent/guest/mount.h"
#include "src/agent/guest/plain_directories.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

// linux/fs.h and linux/mount.h cannot be included beside sys/mount.h in this libc.
constexpr unsigned long kReadOnly = 1;
constexpr unsigned long kNoSuid = 2;
constexpr unsigned long kNoDev = 4;
constexpr unsigned long kNoExec = 8;
constexpr unsigned long kMove = 8192;
constexpr unsigned long kBlockDeviceSize = _IOR(0x12, 114, size_t);  // BLKGETSIZE64
constexpr unsigned long kResizeExt4 = _IOW('f', 16, uint64_t);       // EXT4_IOC_RESIZE_FS

constexpr const char* kUpper = "/upper";
constexpr const char* kRoot = "/root";
constexpr const char* kReserve = "/upper/reserve";

uint32_t Field32(const std::array<std::byte, 1024>& block, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | std::to_integer<uint32_t>(block[at + i]);
  return value;
}

// The template's size is not the disk's: the first boot grows the file system. True if it did.
base::Result<bool> GrowToDevice(const std::string& device, int root_fd) {
  const base::UniqueFd disk = TRY(base::OpenFile(device, O_RDONLY));
  uint64_t bytes = 0;
  if (::ioctl(disk.get(), kBlockDeviceSize, &bytes) < 0) {
    return base::FailErrno("cannot ask for the size of {}", device);
  }
  std::array<std::byte, 1024> super;
  TRY(base::PreadFull(disk.get(), super, 1024));
  const uint64_t block_bytes = uint64_t{1024} << (Field32(super, 0x18) & 15);
  const uint64_t blocks = Field32(super, 4) | uint64_t{Field32(super, 0x150)} << 32;
  const uint64_t wanted = bytes / block_bytes;
  // A few blocks more would not make a group of their own, and be asked for at every boot.
  constexpr uint64_t kWorthIt = 16 * 1024 * 1024;
  if (wanted < blocks + kWorthIt / block_bytes) return false;
  if (::ioctl(root_fd, kResizeExt4, &wanted) < 0) {
    return base::FailErrno("cannot grow the file system of {} from {} to {} blocks", device, blocks,
                           wanted);
  }
  return true;
}

base::Status MakeDirectory(const std::string& path, mode_t mode = 0755) {
  if (::mkdir(path.c_str(), mode) < 0 && errno != EEXIST) {
    return base::FailErrno("cannot create {}", path);
  }
  return {};
}

base::Result<base::UniqueFd> OpenUpper() { return base::OpenFile(kUpper, O_RDONLY | O_DIRECTORY); }

base::Result<base::UniqueFd> MountDisk(const Upper& upper) {
  // No threads that tidy up or read ahead: most sandboxes are gone before it pays.
  std::string options = "noinit_itable,no_prefetch_block_bitmaps,discard";
  if (upper.temporary) options += ",nobarrier";
  TRY(MountAt(upper.device.data, kUpper, "ext4", 0, options));
  base::UniqueFd root = TRY(OpenUpper());
  if (!TRY(GrowToDevice(upper.device.data, root.get())) || upper.temporary) return root;
  // What ext4 holds back for itself follows its size at the time it is mounted. It must not grow
  // with the next start: a disk that is full by then would have no room at all.
  root.Reset();
  if (::umount(kUpper) < 0) return base::FailErrno("cannot unmount {}", kUpper);
  TRY(MountAt(upper.device.data, kUpper, "ext4", 0, options));
  return OpenUpper();
}

base::Result<base::UniqueFd> MountUpper(const std::optional<Upper>& upper) {
  TRY(MakeDirectory(kUpper));
  if (!upper) TRY(MountAt("tmpfs", kUpper, "tmpfs", 0, "mode=755"));
  base::UniqueFd root = TRY(upper ? MountDisk(*upper) : OpenUpper());
  for (const char* name : {"/upper/upper", "/upper/work", "/upper/plain"}) {
    TRY(MakeDirectory(name));
  }
  return root;
}

base::Result<std::string> MountLowers(const std::vector<Lower>& lowers) {
  std::string list;
  for (size_t i = 0; i < lowers.size(); ++i) {
    const std::string place = fmt::format("/lower{}", i);
    TRY(MakeDirectory(place));
    TRY(MountAt(lowers[i].device.data, place, lowers[i].type.c_str(), kReadOnly));
    list += (i == 0 ? "" : ":") + place;
  }
  return list;
}

// The root directory of an overlay is its upper's: it takes on the image's owner and mode.
base::Status MatchRootDirectory(const std::string& lower) {
  struct stat image;
  struct stat ours;
  if (::stat(lower.c_str(), &image) < 0 || ::stat("/upper/upper", &ours) < 0) {
    return base::FailErrno("cannot stat the root");
  }
  const bool same_owner = image.st_uid == ours.st_uid && image.st_gid == ours.st_gid;
  if (!same_owner && ::chown("/upper/upper", image.st_uid, image.st_gid) < 0) {
    return base::FailErrno("cannot give away the root");
  }
  if (image.st_mode != ours.st_mode && ::chmod("/upper/upper", image.st_mode & 07777) < 0) {
    return base::FailErrno("cannot set the root's mode");
  }
  return {};
}

base::Status MountOverlay(const Configure& configure, const std::string& lowers) {
  TRY(MakeDirectory(kRoot));
  TRY(MatchRootDirectory("/lower0"));
  const bool temporary = !configure.upper || configure.upper->temporary;
  return MountAt("overlay", kRoot, "overlay", 0,
                 fmt::format("lowerdir={},upperdir=/upper/upper,workdir=/upper/work,"
                             "redirect_dir=on,metacopy=off,index=off,xino=auto{}",
                             lowers, temporary ? ",volatile" : ""));
}

// On a disk that is kept: room that no program can fill, since the overlay makes a directory each
// time it is mounted and is read-only where it cannot. It is a file beside the overlay's: given up
// while that is mounted, and taken again.
void ReleaseReserve() { (void)::unlink(kReserve); }

void TakeReserve() {
  constexpr off_t kBytes = 1 << 20;
  const auto file = base::OpenFile(kReserve, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
  // On a full disk it keeps what it gets.
  if (file) (void)::fallocate(file->get(), 0, 0, kBytes);
}

// As switch_root does. From here on every path, and every link in the image, is looked up in the
// image.
base::Status EnterRoot() {
  if (::chdir(kRoot) < 0) return base::FailErrno("cannot enter the root");
  TRY(MountAt(".", "/", nullptr, kMove));
  if (::chroot(".") < 0 || ::chdir("/") < 0) return base::FailErrno("cannot enter the root");
  return {};
}

base::Status FurnishDev() {
  constexpr std::array<std::pair<const char*, const char*>, 4> kLinks = {
      {{"/proc/self/fd", "/dev/fd"},
       {"/proc/self/fd/0", "/dev/stdin"},
       {"/proc/self/fd/1", "/dev/stdout"},
       {"/proc/self/fd/2", "/dev/stderr"}}};
  for (const auto& [target, name] : kLinks) {
    if (::symlink(target, name) < 0 && errno != EEXIST) {
      return base::FailErrno("cannot create {}", name);
    }
  }
  for (const char* name : {"/dev/pts", "/dev/shm", "/dev/mqueue"}) TRY(MakeDirectory(name));
  TRY(MountAt("devpts", "/dev/pts", "devpts", kNoSuid | kNoExec,
              "newinstance,ptmxmode=0666,mode=0620,gid=5"));
  TRY(MountAt("shm", "/dev/shm", "tmpfs", kNoSuid | kNoDev | kNoExec, "mode=1777"));
  return MountAt("mqueue", "/dev/mqueue", "mqueue", kNoSuid | kNoDev | kNoExec);
}

// Ports below 1024 and pings for every user, as container engines set them.
base::Status SetNetworkDefaults() {
  constexpr std::array<std::pair<const char*, std::string_view>, 2> kDefaults = {
      {{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
       {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"}}};
  for (const auto& [name, value] : kDefaults) {
    const base::UniqueFd fd = TRY(base::OpenFile(name, O_WRONLY));
    TRY(base::WriteFull(fd.get(), value).WithContext(name));
  }
  return {};
}

base::Status Furnish(int dev_mount) {
  TRY(EnsureDirectory("/dev"));
  TRY(PutMount(dev_mount, "/dev"));
  TRY(FurnishDev());
  TRY(MountInImage("proc", "/proc", "proc", kNoSuid | kNoDev | kNoExec));
  TRY(SetNetworkDefaults());
  TRY(MountInImage("sysfs", "/sys", "sysfs", kNoSuid | kNoDev | kNoExec));
  TRY(MountAt("cgroup2", "/sys/fs/cgroup", "cgroup2", kNoSuid | kNoDev | kNoExec));
  return MountInImage("tmpfs", "/run", "tmpfs", kNoSuid | kNoDev, "mode=755");
}

}  // namespace

base::Result<BuiltRoot> BuildRoot(const Configure& configure) {
  const bool durable = configure.upper && !configure.upper->temporary;
  const bool given = !configure.files.empty();
  BuiltRoot built;
  built.upper = TRY(MountUpper(configure.upper));
  if (!configure.lowers.empty()) {
    if (durable) ReleaseReserve();
    TRY(MountOverlay(configure, TRY(MountLowers(configure.lowers))));
    if (given) TRY(MakeGivenDirectory(kRoot));
    if (durable) TakeReserve();
    EtcFiles etc = TRY(WriteEtcFiles(configure));
    const base::UniqueFd dev = TRY(TakeMount("/dev"));
    TRY(EnterRoot());
    TRY(Furnish(dev.get()));
    TRY(BindEtcFiles(etc));
    TRY(BindPlainDirectories(built.upper.get(), configure.volumes, durable));
  } else {
    if (given) TRY(MakeGivenDirectory(""));
    TRY(FurnishDev());
    TRY(MountInImage("proc", "/proc", "proc", kNoSuid | kNoDev | kNoExec));
    TRY(MountInImage("sysfs", "/sys", "sysfs", kNoSuid | kNoDev | kNoExec));
    TRY(MountAt("cgroup2", "/sys/fs/cgroup", "cgroup2", kNoSuid | kNoDev | kNoExec));
  }
  if (given) TRY(MountGivenDirectory(configure.files));
  TRY(WriteGivenFiles(configure.files));
  return built;
}

}  // namespace msb::agent
