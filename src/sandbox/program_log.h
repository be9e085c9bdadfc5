// ProgramLog: what a detached program wrote, kept in its sandbox's run directory as JSON lines:
//
//   {"time":"2026-01-31T23:59:59.123456Z","stream":"stdout","text":"done\n"}
//
// One entry a piece of output as it came, so that nothing waits for the end of a line; `text` as in
// every protocol of ours (base::Bytes). When `log` has grown to kMaxLogBytes it becomes `log.1`, in
// place of an older one. A log leaves some of its file system free (kMostSpared): beyond that
// output is lost, not the program stopped, and the next entry says how much (`lost`). ProgramLog is
// the monitor's; LogReader anybody's. Single thread.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "src/base/bytes.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::sandbox {

inline constexpr const char* kLogFile = "log";
inline constexpr const char* kOldLogFile = "log.1";
inline constexpr uint64_t kMaxLogBytes = 10'000'000;
inline constexpr size_t kMaxLogText = 16 * 1024;
// A tenth of the file system is not for logs, at most this much.
inline constexpr uint64_t kMostSpared = 256ull << 20;

enum class LogStream { kStdout, kStderr };
BOOST_DESCRIBE_ENUM(LogStream, kStdout, kStderr)

struct LogEntry {
  std::string time;  // RFC 3339, UTC
  LogStream stream = LogStream::kStdout;
  base::Bytes text;
  std::optional<uint64_t> lost;  // bytes of output that were not kept before this
};
BOOST_DESCRIBE_STRUCT(LogEntry, (), (time, stream, text, lost))

class ProgramLog {
 public:
  static base::Result<ProgramLog> Create(int run_directory_fd);
  void Append(LogStream stream, std::string_view output);
  // Nothing follows: if output was lost at the end, that is said now, should there be room.
  void Finish();

 private:
  explicit ProgramLog(int directory_fd, base::UniqueFd file)
      : directory_fd_(directory_fd), file_(std::move(file)) {}
  void AppendPiece(LogStream stream, std::string_view piece);
  base::Status WriteLine(const std::string& line);
  bool HasRoom();
  base::Status Rotate();

  int directory_fd_;
  base::UniqueFd file_;
  uint64_t size_ = 0;
  uint64_t lost_ = 0;
  uint64_t unchecked_ = 0;  // bytes written since the room was looked at
  bool has_room_ = false;
  bool torn_ = false;
};

class LogReader {
 public:
  // The run directory must outlive it.
  explicit LogReader(int run_directory_fd) : directory_fd_(run_directory_fd) {}

  // Calls `entry` with every entry that has been added since the last call (the first time: that is
  // kept), the line as it was written beside it. `gap`: entries may be missing here, the log moved
  // on faster than it was read.
  base::Status ReadNew(const std::function<void(const LogEntry&, std::string_view line)>& entry,
                       const std::function<void()>& gap);

 private:
  base::Status ReadFile(const std::function<void(const LogEntry&, std::string_view)>& entry);
  base::Result<std::optional<base::UniqueFd>> OpenNext(const std::function<void()>& gap);

  int directory_fd_;
  base::UniqueFd file_;
  std::string partial_;  // of a line
};

}  // namespace msb::sandbox
