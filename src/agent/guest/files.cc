#include "src/agent/guest/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "src/agent/guest/file_access.h"
#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

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

Outcome<std::unique_ptr<FileReceiver>> FileReceiver::Create(const WriteFile& request,
                                                            const Identity& identity) {
  const NoUmask exactly;
  auto fd =
      OpenAs(request.path, identity,
             O_WRONLY | O_CREAT | O_TRUNC | (request.exclusive ? O_EXCL : 0), request.mode & 07777);
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
