// System calls wrapped once: EINTR is retried, errors become Results, descriptors are UniqueFd and
// close-on-exec. Thread-safe unless said otherwise. Paths in messages are the caller's.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::base {

// --- files ---------------------------------------------------------------------------------------
// `flags` without O_CLOEXEC (always added). `dir_fd` AT_FDCWD or a directory.
Result<UniqueFd> OpenFile(const std::string& path, int flags, mode_t mode = 0);
Result<UniqueFd> OpenFileAt(int dir_fd, const std::string& path, int flags, mode_t mode = 0);
// openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | `resolve`: never leaves `dir_fd`.
Result<UniqueFd> OpenBeneath(int dir_fd, const std::string& path, int flags, mode_t mode = 0,
                             uint64_t resolve = 0);
inline constexpr uint64_t kResolveNoSymlinks = 0x04;  // RESOLVE_NO_SYMLINKS of linux/openat2.h
// An unnamed regular file in `directory` (O_TMPFILE), readable and writable.
Result<UniqueFd> OpenUnnamed(const std::string& directory, mode_t mode = 0600);
// Gives an unnamed file a name; kExists if the name is taken.
Status LinkUnnamed(int fd, int dir_fd, const std::string& name);
bool IsMemFd(int fd);  // or another file of a tmpfs: reading it never waits
Result<UniqueFd> CreateMemFd(const char* name, bool executable = false);
Result<UniqueFd> Duplicate(int fd);

// One read/write that may be short; 0 from Read is end-of-file. kBusy with EAGAIN where
// non-blocking.
Result<size_t> Read(int fd, std::span<std::byte> buffer);
Result<size_t> Write(int fd, std::span<const std::byte> buffer);
// Everything or an error; for blocking descriptors. ReadFull: kClosed at an early end-of-file.
Status ReadFull(int fd, std::span<std::byte> buffer);
Status WriteFull(int fd, std::span<const std::byte> buffer);
Status WriteFull(int fd, std::string_view text);
Status PreadFull(int fd, std::span<std::byte> buffer, uint64_t offset);
Status PwriteFull(int fd, std::span<const std::byte> buffer, uint64_t offset);
// Whole content up to `limit` bytes; kLimit beyond.
Result<std::string> ReadToEnd(int fd, size_t limit);
Result<std::string> ReadFile(const std::string& path, size_t limit);
Result<std::string> ReadFileAt(int dir_fd, const std::string& path, size_t limit);
// Atomic: written beside, flushed when `durable`, renamed over `name`. Never a half-written file.
Status ReplaceFileAt(int dir_fd, const std::string& name, std::string_view content, mode_t mode,
                     bool durable);

// Shares or copies all of `source` into the empty file `target`: reflink where the file system can,
// else only the data between holes. The size is kept.
Status CloneFile(int source_fd, int target_fd);

Result<struct stat> Stat(int fd);
struct FileSystemRoom {
  uint64_t total_bytes;
  uint64_t free_bytes;  // for ordinary users
};
Result<FileSystemRoom> RoomOf(int fd);
Status MakeDirectories(const std::string& path, mode_t mode);  // mkdir -p
Status RemoveTreeAt(int dir_fd, const std::string& name);      // rm -rf, never follows a link
Result<std::vector<std::string>> ListDirectory(int dir_fd);    // names without "." and ".."

// Becomes readable when something in the directory is written, created, renamed or removed
// (inotify(7)); DrainDirectoryEvents makes it quiet again.
Result<UniqueFd> WatchDirectory(int dir_fd);
void DrainDirectoryEvents(int watch_fd);

// --- locks ---------------------------------------------------------------------------------------
// Open-file-description locks on the whole file (fcntl(2), F_OFD_*).
enum class LockMode { kShared, kExclusive };
Status TryLock(int fd, LockMode mode);   // kBusy if held elsewhere
Status WaitLock(int fd, LockMode mode);  // blocks
// Exclusive, on the one byte at `position` (which need not exist): many locks in one file. Wait
// blocks; Try gives kBusy if it is held elsewhere.
Status WaitLockByte(int fd, uint64_t position);
Status TryLockByte(int fd, uint64_t position);
Status UnlockByte(int fd, uint64_t position);
struct LockedRange {
  uint64_t start;
  uint64_t length;
};
// One of the locks that others hold in that range (not the caller's own), cut to it; absent if
// there is none. Which of several is up to the kernel: not always the first.
Result<std::optional<LockedRange>> FindLock(int fd, LockedRange within);
// flock(2), exclusive: for a read-only descriptor, which may then be handed to a jail. kBusy if
// held.
Status TryLockDescriptor(int fd);
Result<bool> IsLocked(int fd);  // asks only: would an exclusive lock fail?

// --- sockets and pipes ---------------------------------------------------------------------------
struct Pair {
  UniqueFd first;
  UniqueFd second;
};
enum class SocketType { kStream, kSeqPacket, kDatagram };
Result<Pair> MakeSocketPair(SocketType type, bool nonblocking = false);
Result<Pair> MakePipe(bool nonblocking = false);  // first: read end
// A listening/connected AF_UNIX socket at `name` in directory `dir_fd`, through /proc/self/fd, so
// that the 108-byte limit never matters.
Result<UniqueFd> ListenUnixAt(int dir_fd, const std::string& name, SocketType type, mode_t mode);
// The connected one is non-blocking, and connecting does not wait: kBusy if the listener has more
// to accept than it can queue.
Result<UniqueFd> ConnectUnixAt(int dir_fd, const std::string& name, SocketType type);
struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};
Result<PeerCredentials> GetPeerCredentials(int socket_fd);

inline constexpr size_t kMaxFdsPerMessage = 253;  // SCM_MAX_FD
// One sendmsg with descriptors (duplicated into the receiver). Returns bytes sent.
Result<size_t> SendWithFds(int socket_fd, std::span<const std::byte> data,
                           std::span<const int> fds);
struct Received {
  size_t size = 0;  // 0: end-of-file
  bool truncated = false;
  std::vector<UniqueFd> fds;
};
// One recvmsg. Every descriptor that arrives is owned by the result, wanted or not.
Result<Received> ReceiveWithFds(int socket_fd, std::span<std::byte> buffer,
                                bool nonblocking = false);

Status SetNonBlocking(int fd, bool on);
Status SetCloseOnExec(int fd, bool on);

// --- processes -----------------------------------------------------------------------------------
struct ExitStatus {
  bool signaled = false;
  int value = 0;  // exit code, or the signal's number
  // As a shell reports it: code, or 128 + signal.
  int ShellCode() const { return signaled ? 128 + value : value; }
};
Result<UniqueFd> PidFdOpen(pid_t pid);
Status PidFdSignal(int pid_fd, int signal);
Result<ExitStatus> WaitPidFd(int pid_fd);  // blocks, reaps
Result<std::optional<ExitStatus>> TryWaitPidFd(int pid_fd);
Result<uint64_t> ProcessStartTime(pid_t pid);  // field 22 of /proc/PID/stat
Result<std::string> BootId();                  // /proc/sys/kernel/random/boot_id

// Raises the soft limit of open files to the hard one: descriptors in flight count against it, of
// all processes of the user.
void RaiseOpenFileLimit();

// Overwrites with kernel randomness; aborts if there is none.
void FillRandom(std::span<uint8_t> out);
std::string RandomHex(size_t bytes);

int64_t MonotonicNanos();
int64_t BootTimeNanos();

}  // namespace msb::base
