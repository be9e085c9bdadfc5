#include "src/agent/guest/files.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;

// The file-system identity of the agent, for as long as this lives: another user's rights.
class ActingAs {
 public:
  explicit ActingAs(const Identity& identity) : active_(identity.uid != 0 || identity.gid != 0) {
    if (!active_) return;
    ::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data());
    ::syscall(SYS_setfsgid, identity.gid);
    ::syscall(SYS_setfsuid, identity.uid);  // gives up the rights of root over files, too
  }
  ~ActingAs() {
    if (!active_) return;
    ::syscall(SYS_setfsuid, ::geteuid());
    ::syscall(SYS_setfsgid, ::getegid());
    ::syscall(SYS_setgroups, 0, nullptr);
  }
  ActingAs(const ActingAs&) = delete;

 private:
  const bool active_;
};

FileKind KindOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return FileKind::kDirectory;
    case S_IFLNK:
      return FileKind::kSymlink;
    case S_IFIFO:
      return FileKind::kFifo;
    case S_IFSOCK:
      return FileKind::kSocket;
    case S_IFCHR:
      return FileKind::kCharacter;
    case S_IFBLK:
      return FileKind::kBlock;
    default:
      return FileKind::kRegular;
  }
}

FileStatus StatusOf(const struct stat& status) {
  return FileStatus{
      .kind = KindOf(status.st_mode),
      .mode = status.st_mode & 07777,
      .size = static_cast<uint64_t>(std::max<off_t>(status.st_size, 0)),
      .uid = status.st_uid,
      .gid = status.st_gid,
      .modified_ns = status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
}

Outcome<void> CheckPath(const base::Bytes& path) {
  if (path.data.empty() || path.data[0] != '/' || path.data.find('\0') != std::string::npos) {
    return Refuse(FailureCode::kInvalid, "{}: not an absolute path", path.data);
  }
  return {};
}

Outcome<base::UniqueFd> OpenAs(const base::Bytes& path, const Identity& identity, int flags,
                               mode_t mode = 0) {
  if (auto checked = CheckPath(path); !checked) return std::unexpected(checked.error());
  const ActingAs user(identity);
  auto fd = base::OpenFile(path.data, flags | O_NONBLOCK | O_NOCTTY, mode);
  if (!fd) return std::unexpected(FileFailure(fd.error()));
  return *std::move(fd);
}

Outcome<FileStatus> StatRegular(int fd, const base::Bytes& path) {
  auto status = base::Stat(fd);
  if (!status) return std::unexpected(FileFailure(status.error()));
  if (!S_ISREG(status->st_mode)) {
    return Refuse(FailureCode::kWrongKind, "{}: not a regular file", path.data);
  }
  return StatusOf(*status);
}

class FileSender : public Transfer {
 public:
  FileSender(base::UniqueFd fd, uint64_t left) : fd_(std::move(fd)), left_(left) {}

  bool Fill(FrameQueue& queue) override {
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kPieceBytes);
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(left_, kPieceBytes));
    const ssize_t got = wanted == 0 ? 0 : ::read(fd_.get(), buffer_.get(), wanted);
    if (got < 0) {
      if (errno == EINTR) return true;
      Event event;
      event.broken = FileFailure(base::FailErrno("cannot read the file"));
      queue.Append(FrameType::kEvent, 0, base::json::Write(event));
      return false;
    }
    if (got == 0) {
      queue.Append(FrameType::kEnd, kStdout, {});
      return false;
    }
    left_ -= static_cast<uint64_t>(got);
    queue.Append(FrameType::kData, kStdout, {buffer_.get(), static_cast<size_t>(got)});
    return true;
  }

 private:
  base::UniqueFd fd_;
  uint64_t left_;
  std::unique_ptr<char[]> buffer_;
};

class DirectorySender : public Transfer {
 public:
  DirectorySender(DIR* stream, uint32_t seq) : stream_(stream), seq_(seq) {}
  ~DirectorySender() override { ::closedir(stream_); }

  bool Fill(FrameQueue& queue) override {
    constexpr size_t kEntriesAtOnce = 256;  // of at most 255 bytes, escaped, and their status
    Event event;
    event.entries.emplace();
    while (event.entries->size() < kEntriesAtOnce) {
      errno = 0;
      const dirent* found = ::readdir(stream_);
      if (found == nullptr) {
        const int failed = errno;
        if (!event.entries->empty()) Append(queue, event);
        Reply reply;
        reply.seq = seq_;
        if (failed != 0) reply.failure = FileFailure(base::FailErrno("cannot list"));
        queue.Append(FrameType::kReply, 0, base::json::Write(reply));
        return false;
      }
      const std::string_view name = found->d_name;
      if (name == "." || name == "..") continue;
      struct stat status;
      if (::fstatat(::dirfd(stream_), found->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0) continue;
      event.entries->push_back({base::Bytes(name), StatusOf(status)});
    }
    Append(queue, event);
    return true;
  }

 private:
  static void Append(FrameQueue& queue, const Event& event) {
    queue.Append(FrameType::kEvent, 0, base::json::Write(event));
  }
  DIR* stream_;
  uint32_t seq_;
};

}  // namespace

Outcome<FileStatus> DescribeFile(const StatFile& request, const Identity& identity) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  const ActingAs user(identity);
  struct stat status;
  if (::fstatat(AT_FDCWD, request.path.data.c_str(), &status,
                request.follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
    return std::unexpected(FileFailure(base::FailErrno("{}", request.path.data)));
  }
  return StatusOf(status);
}

Outcome<OpenedFile> OpenForReading(const ReadFile& request, const Identity& identity) {
  auto fd = OpenAs(request.path, identity, O_RDONLY);
  if (!fd) return std::unexpected(fd.error());
  auto status = StatRegular(fd->get(), request.path);
  if (!status) return std::unexpected(status.error());
  if (request.offset > 0 && ::lseek(fd->get(), static_cast<off_t>(request.offset), SEEK_SET) < 0) {
    return std::unexpected(FileFailure(base::FailErrno("{}", request.path.data)));
  }
  OpenedFile opened;
  opened.status = *status;
  opened.transfer =
      std::make_unique<FileSender>(*std::move(fd), request.length.value_or(~uint64_t{0}));
  return opened;
}

Outcome<std::unique_ptr<Transfer>> OpenDirectory(const ListDirectory& request,
                                                 const Identity& identity, uint32_t seq) {
  auto fd = OpenAs(request.path, identity, O_RDONLY | O_DIRECTORY);
  if (!fd) return std::unexpected(fd.error());
  DIR* stream = ::fdopendir(fd->get());
  if (stream == nullptr) {
    return std::unexpected(FileFailure(base::FailErrno("{}", request.path.data)));
  }
  (void)fd->Release();  // the stream owns it now
  return std::make_unique<DirectorySender>(stream, seq);
}

Outcome<std::unique_ptr<FileReceiver>> FileReceiver::Create(const WriteFile& request,
                                                            const Identity& identity) {
  const mode_t umask = ::umask(0);  // the mode is the host's choice, not ours
  auto fd =
      OpenAs(request.path, identity,
             O_WRONLY | O_CREAT | O_TRUNC | (request.exclusive ? O_EXCL : 0), request.mode & 07777);
  ::umask(umask);
  if (!fd) return std::unexpected(fd.error());
  if (auto status = StatRegular(fd->get(), request.path); !status) {
    return std::unexpected(status.error());
  }
  return std::unique_ptr<FileReceiver>(new FileReceiver(*std::move(fd)));
}

Outcome<void> FileReceiver::Write(std::string_view data) {
  if (base::Status written = base::WriteFull(fd_.get(), data); !written) {
    return std::unexpected(FileFailure(written.error()));
  }
  return {};
}

Outcome<FileStatus> FileReceiver::Finish() {
  auto status = base::Stat(fd_.get());
  if (!status) return std::unexpected(FileFailure(status.error()));
  return StatusOf(*status);
}

}  // namespace msb::agent
