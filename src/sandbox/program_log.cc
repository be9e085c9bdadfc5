#include "src/sandbox/program_log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

std::string Now() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  ::gmtime_r(&now.tv_sec, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     now.tv_nsec / 1000);
}

base::Result<base::UniqueFd> OpenLog(int directory_fd) {
  return base::OpenFileAt(directory_fd, kLogFile, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
}

// The inode of a file in the directory; 0 if there is none.
ino_t InodeOf(int directory_fd, const char* name) {
  struct stat status;
  return ::fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

}  // namespace

// --- writing -------------------------------------------------------------------------------------

base::Result<ProgramLog> ProgramLog::Create(int run_directory_fd) {
  return ProgramLog(run_directory_fd, TRY(OpenLog(run_directory_fd)));
}

void ProgramLog::Append(LogStream stream, std::string_view output) {
  while (!output.empty()) {
    // Lines stay whole where they fit.
    size_t length = std::min(output.size(), kMaxLogText);
    if (length < output.size()) {
      const size_t newline = output.rfind('\n', length - 1);
      if (newline != std::string_view::npos) length = newline + 1;
    }
    AppendPiece(stream, output.substr(0, length));
    output.remove_prefix(length);
  }
}

void ProgramLog::Finish() {
  if (lost_ > 0) AppendPiece(LogStream::kStdout, "");
}

void ProgramLog::AppendPiece(LogStream stream, std::string_view piece) {
  LogEntry entry{Now(), stream, base::Bytes(piece), std::nullopt};
  if (lost_ > 0) entry.lost = lost_;
  if (HasRoom() && WriteLine(base::json::Write(entry) + "\n")) {
    lost_ = 0;
  } else {
    lost_ += piece.size();
  }
}

// Looked at again after a while, or while there is none.
bool ProgramLog::HasRoom() {
  constexpr uint64_t kLookEvery = 64 * 1024;
  if (has_room_ && unchecked_ < kLookEvery) return true;
  unchecked_ = 0;
  const auto room = base::RoomOf(file_.get());
  has_room_ = room && room->free_bytes >= std::min(room->total_bytes / 10, kMostSpared);
  return has_room_;
}

base::Status ProgramLog::WriteLine(const std::string& line) {
  if (size_ > 0 && size_ + line.size() > kMaxLogBytes) TRY(Rotate());
  // Half a line, left by a full disk, must not spoil this one.
  const base::Status written = base::WriteFull(file_.get(), torn_ ? "\n" + line : line);
  torn_ = !written;
  if (!written) {
    if (const auto status = base::Stat(file_.get())) size_ = static_cast<uint64_t>(status->st_size);
    has_room_ = false;
    return written;
  }
  size_ += line.size();
  unchecked_ += line.size();
  return {};
}

base::Status ProgramLog::Rotate() {
  if (::renameat(directory_fd_, kLogFile, directory_fd_, kOldLogFile) < 0) {
    return base::FailErrno("cannot rotate the log");
  }
  file_ = TRY(OpenLog(directory_fd_));
  size_ = 0;
  torn_ = false;
  return {};
}

// --- reading -------------------------------------------------------------------------------------

base::Status LogReader::ReadNew(const std::function<void(const LogEntry&, std::string_view)>& entry,
                                const std::function<void()>& gap) {
  if (!file_) {
    for (const char* name : {kOldLogFile, kLogFile}) {
      auto file = base::OpenFileAt(directory_fd_, name, O_RDONLY | O_NOFOLLOW);
      if (file) {
        file_ = *std::move(file);
        break;
      }
    }
    if (!file_) return {};
  }
  for (;;) {
    TRY(ReadFile(entry));
    auto next = TRY(OpenNext(gap));
    if (!next) return {};
    TRY(ReadFile(entry));  // what was added before it was rotated
    file_ = *std::move(next);
    partial_.clear();
  }
}

base::Status LogReader::ReadFile(
    const std::function<void(const LogEntry&, std::string_view)>& entry) {
  std::array<char, 64 * 1024> buffer;
  for (;;) {
    const size_t got = TRY(base::Read(file_.get(), std::as_writable_bytes(std::span(buffer))));
    if (got == 0) return {};
    partial_.append(buffer.data(), got);
    size_t from = 0;
    for (size_t end; (end = partial_.find('\n', from)) != std::string::npos; from = end + 1) {
      const std::string_view line = std::string_view(partial_).substr(from, end - from);
      // A line that is none was cut by a full disk.
      if (const auto parsed = base::json::Parse<LogEntry>(line)) entry(*parsed, line);
    }
    partial_.erase(0, from);
  }
}

// The file that follows the one just read, if there is one.
base::Result<std::optional<base::UniqueFd>> LogReader::OpenNext(const std::function<void()>& gap) {
  const ino_t current = TRY(base::Stat(file_.get())).st_ino;
  if (InodeOf(directory_fd_, kLogFile) == current) return std::nullopt;
  const ino_t old = InodeOf(directory_fd_, kOldLogFile);
  const bool passed = old != 0 && old != current;
  auto next =
      base::OpenFileAt(directory_fd_, passed ? kOldLogFile : kLogFile, O_RDONLY | O_NOFOLLOW);
  if (!next) return std::nullopt;  // just being rotated, or removed
  if (passed) gap();
  return *std::move(next);
}

}  // namespace msb::sandbox
