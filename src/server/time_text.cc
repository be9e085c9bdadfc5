#include "src/server/time_text.h"

#include <fmt/format.h>
#include <time.h>

namespace msb::server {

std::string TimeText(int64_t wall_clock_ms) {
  constexpr int64_t kSecond = 1000;
  int64_t seconds = wall_clock_ms / kSecond, rest = wall_clock_ms % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  const time_t when = seconds;
  tm broken = {};
  ::gmtime_r(&when, &broken);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", broken.tm_year + 1900,
                     broken.tm_mon + 1, broken.tm_mday, broken.tm_hour, broken.tm_min,
                     broken.tm_sec, rest);
}

}  // namespace msb::server
