#include "src/base/sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace msb::base {
namespace {

template <typename Call>
auto Retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

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

Result<sockaddr_un> UnixAddress(int dir_fd, const std::string& name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path =
      dir_fd == AT_FDCWD ? name : fmt::format("/proc/self/fd/{}/{}", dir_fd, name);
  if (path.size() >= sizeof address.sun_path) {
    return Fail(ErrorCode::kLimit, "socket path too long: {}", path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

int TypeOf(SocketType type) {
  switch (type) {
    case SocketType::kStream:
      return SOCK_STREAM;
    case SocketType::kSeqPacket:
      return SOCK_SEQPACKET;
    case SocketType::kDatagram:
      return SOCK_DGRAM;
  }
  return SOCK_STREAM;
}

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

Result<Pair> MakeSocketPair(SocketType type, bool nonblocking) {
  int fds[2];
  if (::socketpair(AF_UNIX, TypeOf(type) | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0,
                   fds) < 0) {
    return FailErrno("cannot create a socket pair");
  }
  return Pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<Pair> MakePipe(bool nonblocking) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | (nonblocking ? O_NONBLOCK : 0)) < 0) {
    return FailErrno("cannot create a pipe");
  }
  return Pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> ListenUnixAt(int dir_fd, const std::string& name, SocketType type, mode_t mode) {
  const sockaddr_un address = TRY(UnixAddress(dir_fd, name));
  UniqueFd fd(::socket(AF_UNIX, TypeOf(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno("cannot create a socket");
  // fchmod before bind sets the mode of the name atomically.
  if (::fchmod(fd.get(), mode) < 0) return FailErrno("cannot set a socket's mode");
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return FailErrno("cannot bind socket {}", name);
  }
  if (type != SocketType::kDatagram && ::listen(fd.get(), 64) < 0) {
    return FailErrno("cannot listen on {}", name);
  }
  return fd;
}

Result<UniqueFd> ConnectUnixAt(int dir_fd, const std::string& name, SocketType type) {
  const sockaddr_un address = TRY(UnixAddress(dir_fd, name));
  UniqueFd fd(::socket(AF_UNIX, TypeOf(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno("cannot create a socket");
  if (Retry([&] {
        return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
      }) < 0) {
    return FailErrno("cannot connect to {}", name);
  }
  return fd;
}

Result<PeerCredentials> GetPeerCredentials(int socket_fd) {
  ucred credentials = {};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) {
    return FailErrno("cannot identify a peer");
  }
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<size_t> SendWithFds(int socket_fd, std::span<const std::byte> data,
                           std::span<const int> fds) {
  CHECK(fds.size() <= kMaxFdsPerMessage);
  iovec part = {const_cast<std::byte*>(data.data()), data.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  const ssize_t sent = Retry([&] { return ::sendmsg(socket_fd, &message, MSG_NOSIGNAL); });
  if (sent < 0) return FailErrno("cannot send");
  return static_cast<size_t>(sent);
}

Result<Received> ReceiveWithFds(int socket_fd, std::span<std::byte> buffer, bool nonblocking) {
  iovec part = {buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))> control;
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = Retry([&] {
    return ::recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | (nonblocking ? MSG_DONTWAIT : 0));
  });
  if (got < 0) return FailErrno("cannot receive");
  Received received;
  received.size = static_cast<size_t>(got);
  received.truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  return received;
}

Status SetNonBlocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0) {
    return FailErrno("cannot change a descriptor's mode");
  }
  return {};
}

Status SetCloseOnExec(int fd, bool on) {
  if (::fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0) {
    return FailErrno("cannot change a descriptor's flags");
  }
  return {};
}

Result<UniqueFd> PidFdOpen(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return FailErrno("cannot open process {}", pid);
  return fd;
}

Status PidFdSignal(int pid_fd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pid_fd, signal, nullptr, 0) < 0) {
    return FailErrno("cannot signal a process");
  }
  return {};
}

namespace {

Result<std::optional<ExitStatus>> Wait(int pid_fd, int flags) {
  siginfo_t info = {};
  if (Retry([&] {
        return ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pid_fd), &info,
                        WEXITED | flags);
      }) < 0) {
    return FailErrno("cannot wait for a process");
  }
  if (info.si_pid == 0) return std::optional<ExitStatus>();
  return std::optional(ExitStatus{info.si_code != CLD_EXITED, info.si_status});
}

}  // namespace

Result<ExitStatus> WaitPidFd(int pid_fd) { return *TRY(Wait(pid_fd, 0)); }
Result<std::optional<ExitStatus>> TryWaitPidFd(int pid_fd) { return Wait(pid_fd, WNOHANG); }

Result<uint64_t> ProcessStartTime(pid_t pid) {
  const std::string stat = TRY(ReadFile(fmt::format("/proc/{}/stat", pid), 4096));
  // The command name (field 2) may hold blanks and parentheses: count from the last ')'.
  size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return Fail(ErrorCode::kCorrupt, "/proc/{}/stat is short", pid);
  return std::strtoull(stat.c_str() + at + 1, nullptr, 10);
}

Result<std::string> BootId() {
  std::string id = TRY(ReadFile("/proc/sys/kernel/random/boot_id", 64));
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

void RaiseOpenFileLimit() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void FillRandom(std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = Retry([&] { return ::getrandom(out.data(), out.size(), 0); });
    CHECK(got > 0);
    out = out.subspan(static_cast<size_t>(got));
  }
}

std::string RandomHex(size_t bytes) {
  std::vector<uint8_t> data(bytes);
  FillRandom(data);
  std::string out;
  for (const uint8_t byte : data) out += fmt::format("{:02x}", byte);
  return out;
}

namespace {

int64_t Nanos(clockid_t clock) {
  timespec now;
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

int64_t MonotonicNanos() { return Nanos(CLOCK_MONOTONIC); }
int64_t BootTimeNanos() { return Nanos(CLOCK_BOOTTIME); }

}  // namespace msb::base
