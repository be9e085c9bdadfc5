#include "src/base/log.h"

#include <unistd.h>

#include <algorithm>

#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::base {
namespace {

// Written once by main before there is a second thread.
LogOptions& Options() {
  static LogOptions options;
  return options;
}

std::string_view Name(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kTrace:
      return "trace";
  }
  return "log";
}

}  // namespace

void ConfigureLog(LogOptions options) { Options() = std::move(options); }
bool LogEnabled(LogLevel level) { return level <= Options().level; }

void WriteLog(LogLevel level, std::string_view message) {
  const LogOptions& options = Options();
  std::string line;
  if (options.json) {
    line = json::WriteValue(json::Object{{"level", Name(level)},
                                         {"program", options.program},
                                         {"boot_ns", BootTimeNanos()},
                                         {"message", message}}) +
           "\n";
  } else {
    line = fmt::format("{}: {}: {}\n", options.program, Name(level), message);
  }
  // A log that cannot be written has nowhere to complain.
  (void)!::write(options.fd, line.data(), line.size());
}

bool LogRate::Allow() {
  const int64_t now = MonotonicNanos();
  const int64_t interval_ns = int64_t{interval_ms_} * 1'000'000;
  const int64_t earned = (now - refilled_ns_) / interval_ns;
  if (earned > 0) {
    tokens_ = static_cast<uint32_t>(std::min<int64_t>(burst_, tokens_ + earned));
    refilled_ns_ = now;
  }
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

}  // namespace msb::base
