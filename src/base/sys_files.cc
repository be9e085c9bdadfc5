// Files, directories, file systems. See sys.h.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "src/base/retry.h"
#include "src/base/sys.h"

namespace msb::base {
namespace {

Status CopyRange(int source_fd, int target_fd, uint64_t offset, uint64_t length) {
  std::vector<std::byte> buffer(std::min<uint64_t>(length, 1 << 20));
  while (length > 0) {
    const std::span<std::byte> part(buffer.data(), std::min<uint64_t>(length, buffer.size()));
    TRY(PreadFull(source_fd, part, offset));
    TRY(PwriteFull(target_fd, part, offset));
    offset += part.size();
    length -= part.size();
  }
  return {};
}

}  // namespace

Result<UniqueFd> OpenFile(const std::string& path, int flags, mode_t mode) {
  return OpenFileAt(AT_FDCWD, path, flags, mode);
}

Result<UniqueFd> OpenFileAt(int dir_fd, const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(Retry([&] { return ::openat(dir_fd, path.c_str(), flags | O_CLOEXEC, mode); }));
  if (!fd) return FailErrno("cannot open {}", path);
  return fd;
}

Result<UniqueFd> OpenBeneath(int dir_fd, const std::string& path, int flags, mode_t mode,
                             uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve;
  UniqueFd fd(static_cast<int>(
      Retry([&] { return ::syscall(SYS_openat2, dir_fd, path.c_str(), &how, sizeof how); })));
  if (!fd) return FailErrno("cannot open {}", path);
  return fd;
}

static_assert(kResolveNoSymlinks == RESOLVE_NO_SYMLINKS);

Result<UniqueFd> OpenUnnamed(const std::string& directory, mode_t mode) {
  UniqueFd fd(
      Retry([&] { return ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, mode); }));
  if (!fd && errno == EOPNOTSUPP) {
    // A file system without such files (some overlays): a name that is gone at once.
    const std::string name = fmt::format("{}/.{}", directory, RandomHex(16));
    fd.Reset(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (fd) ::unlink(name.c_str());
  }
  if (!fd) return FailErrno("cannot create a temporary file in {}", directory);
  return fd;
}

Status LinkUnnamed(int fd, int dir_fd, const std::string& name) {
  const std::string self = fmt::format("/proc/self/fd/{}", fd);
  if (::linkat(AT_FDCWD, self.c_str(), dir_fd, name.c_str(), AT_SYMLINK_FOLLOW) < 0) {
    return FailErrno("cannot create {}", name);
  }
  return {};
}

bool IsMemFd(int fd) { return ::fcntl(fd, F_GET_SEALS) >= 0; }

Result<UniqueFd> CreateMemFd(const char* name, bool executable) {
  constexpr unsigned kExec = 0x10;  // MFD_EXEC, Linux 6.3; refused by older kernels
  const unsigned base = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd(::memfd_create(name, base | (executable ? kExec : 0)));
  if (!fd && errno == EINVAL) fd.Reset(::memfd_create(name, base));
  if (!fd) return FailErrno("cannot create a memory file");
  return fd;
}

Result<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return FailErrno("cannot duplicate descriptor {}", fd);
  return copy;
}

Result<size_t> Read(int fd, std::span<std::byte> buffer) {
  const ssize_t got = Retry([&] { return ::read(fd, buffer.data(), buffer.size()); });
  if (got < 0) return FailErrno("read failed");
  return static_cast<size_t>(got);
}

Result<size_t> Write(int fd, std::span<const std::byte> buffer) {
  const ssize_t put = Retry([&] { return ::write(fd, buffer.data(), buffer.size()); });
  if (put < 0) return FailErrno("write failed");
  return static_cast<size_t>(put);
}

Status ReadFull(int fd, std::span<std::byte> buffer) {
  while (!buffer.empty()) {
    const size_t got = TRY(Read(fd, buffer));
    if (got == 0) return Fail(ErrorCode::kClosed, "unexpected end of data");
    buffer = buffer.subspan(got);
  }
  return {};
}

Status WriteFull(int fd, std::span<const std::byte> buffer) {
  while (!buffer.empty()) buffer = buffer.subspan(TRY(Write(fd, buffer)));
  return {};
}

Status WriteFull(int fd, std::string_view text) {
  return WriteFull(fd, std::as_bytes(std::span(text)));
}

Status PreadFull(int fd, std::span<std::byte> buffer, uint64_t offset) {
  while (!buffer.empty()) {
    const ssize_t got = Retry(
        [&] { return ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
    if (got < 0) return FailErrno("read failed");
    if (got == 0) return Fail(ErrorCode::kClosed, "unexpected end of file");
    buffer = buffer.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

Status PwriteFull(int fd, std::span<const std::byte> buffer, uint64_t offset) {
  while (!buffer.empty()) {
    const ssize_t put = Retry(
        [&] { return ::pwrite(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
    if (put < 0) return FailErrno("write failed");
    buffer = buffer.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return {};
}

Result<std::string> ReadToEnd(int fd, size_t limit) {
  std::string content;
  std::array<std::byte, 16384> buffer;
  for (;;) {
    const size_t got = TRY(Read(fd, buffer));
    if (got == 0) return content;
    if (content.size() + got > limit) {
      return Fail(ErrorCode::kLimit, "longer than the limit of {} bytes", limit);
    }
    content.append(reinterpret_cast<const char*>(buffer.data()), got);
  }
}

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  return ReadFileAt(AT_FDCWD, path, limit);
}

Result<std::string> ReadFileAt(int dir_fd, const std::string& path, size_t limit) {
  const UniqueFd fd = TRY(OpenFileAt(dir_fd, path, O_RDONLY));
  return ReadToEnd(fd.get(), limit).WithContext(path);
}

Status ReplaceFileAt(int dir_fd, const std::string& name, std::string_view content, mode_t mode,
                     bool durable) {
  const std::string temporary = fmt::format(".{}.{}", name, RandomHex(8));
  const UniqueFd fd =
      TRY(OpenFileAt(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  Status done = WriteFull(fd.get(), content);
  if (done && durable && ::fdatasync(fd.get()) < 0) done = FailErrno("cannot flush");
  if (done && ::renameat(dir_fd, temporary.c_str(), dir_fd, name.c_str()) < 0) {
    done = FailErrno("cannot rename");
  }
  if (!done) {
    ::unlinkat(dir_fd, temporary.c_str(), 0);
    return std::move(done.error()).WithContext(fmt::format("cannot write {}", name));
  }
  if (durable) ::fsync(dir_fd);
  return {};
}

Status CloneFile(int source_fd, int target_fd) {
  if (::ioctl(target_fd, FICLONE, source_fd) == 0) return {};
  const off_t size = static_cast<off_t>(TRY(Stat(source_fd)).st_size);
  if (::ftruncate(target_fd, size) < 0) return FailErrno("cannot set a file's size");
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(source_fd, at, SEEK_DATA);
    if (data < 0) {
      if (errno == ENXIO) break;
      return FailErrno("cannot copy a sparse file");
    }
    const off_t hole = ::lseek(source_fd, data, SEEK_HOLE);
    if (hole < 0) return FailErrno("cannot copy a sparse file");
    TRY(CopyRange(source_fd, target_fd, static_cast<uint64_t>(data),
                  static_cast<uint64_t>(hole - data)));
    at = hole;
  }
  return {};
}

Result<struct stat> Stat(int fd) {
  struct stat status;
  if (::fstat(fd, &status) < 0) return FailErrno("fstat failed");
  return status;
}

Result<FileSystemRoom> RoomOf(int fd) {
  struct statvfs room;
  if (::fstatvfs(fd, &room) < 0) return FailErrno("cannot look at a file system");
  return FileSystemRoom{room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize};
}

Status MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) < 0 && errno != EEXIST) {
      if (struct stat status; ::stat(part.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
        continue;
      return FailErrno("cannot create directory {}", part);
    }
  }
  return {};
}

Status RemoveTreeAt(int dir_fd, const std::string& name) {
  if (::unlinkat(dir_fd, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return FailErrno("cannot remove {}", name);
  {
    const UniqueFd directory = TRY(OpenFileAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    for (const std::string& entry : TRY(ListDirectory(directory.get()))) {
      TRY(RemoveTreeAt(directory.get(), entry));
    }
  }
  if (::unlinkat(dir_fd, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT) {
    return FailErrno("cannot remove {}", name);
  }
  return {};
}

Result<std::vector<std::string>> ListDirectory(int dir_fd) {
  UniqueFd copy = TRY(OpenFileAt(dir_fd, ".", O_RDONLY | O_DIRECTORY));
  DIR* stream = ::fdopendir(copy.get());
  if (stream == nullptr) return FailErrno("cannot list a directory");
  (void)copy.Release();  // the stream owns it now
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(stream);
  return names;
}

Result<UniqueFd> WatchDirectory(int dir_fd) {
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch) return FailErrno("cannot watch a directory");
  const std::string path = fmt::format("/proc/self/fd/{}", dir_fd);
  constexpr uint32_t kEvents = IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE;
  if (::inotify_add_watch(watch.get(), path.c_str(), kEvents) < 0) {
    return FailErrno("cannot watch a directory");
  }
  return watch;
}

void DrainDirectoryEvents(int watch_fd) {
  std::array<char, 4096> events;
  while (::read(watch_fd, events.data(), events.size()) > 0) {
  }
}

}  // namespace msb::base
