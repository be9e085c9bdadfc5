// Log: levels and one sink (standard error, or a descriptor given at start). Lines for people
// ("msb: warning: …") or JSON lines. Thread-safe: one write(2) a line.
//
//   LOG(kWarning, "disk {} is full", path);
//   static LogRate rate; if (rate.Allow()) LOG(...)      // what a guest can cause (DESIGN, rule 6)
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace msb::base {

enum class LogLevel { kError, kWarning, kInfo, kDebug, kTrace };

struct LogOptions {
  LogLevel level = LogLevel::kWarning;
  bool json = false;
  int fd = 2;
  std::string program = "msb";
};

void ConfigureLog(LogOptions options);  // once, at the start of main
bool LogEnabled(LogLevel level);
void WriteLog(LogLevel level, std::string_view message);

// Token bucket: `burst` lines at once, then one every `interval_ms`. One thread.
class LogRate {
 public:
  explicit LogRate(uint32_t burst = 10, uint32_t interval_ms = 1000)
      : burst_(burst), interval_ms_(interval_ms), tokens_(burst) {}
  bool Allow();

 private:
  uint32_t burst_;
  uint32_t interval_ms_;
  uint32_t tokens_;
  int64_t refilled_ns_ = 0;
};

}  // namespace msb::base

#define LOG(level, ...)                                                                \
  do {                                                                                 \
    if (::msb::base::LogEnabled(::msb::base::LogLevel::level))                         \
      ::msb::base::WriteLog(::msb::base::LogLevel::level, ::fmt::format(__VA_ARGS__)); \
  } while (false)
