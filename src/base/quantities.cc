#include "src/base/quantities.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace msb::base {

Result<uint64_t> ParseSize(std::string_view text) {
  constexpr uint64_t kLimit = uint64_t{1} << 50;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  uint64_t scale = 0;
  if (unit == "K" || unit == "k") scale = 1024;
  if (unit.empty() || unit == "M" || unit == "m") scale = 1024 * 1024;
  if (unit == "G" || unit == "g") scale = 1024 * 1024 * 1024;
  if (error != std::errc() || scale == 0) {
    return Fail(ErrorCode::kInvalid, "\"{}\" is no size: a number of MiB, or with K, M or G (512M)",
                text);
  }
  if (number == 0 || number >= kLimit / scale) {
    return Fail(ErrorCode::kInvalid, "size \"{}\" is out of range", text);
  }
  return number * scale;
}

Result<uint64_t> ParseDuration(std::string_view text) {
  constexpr uint64_t kSecond = 1000, kMinute = 60 * kSecond, kHour = 60 * kMinute;
  constexpr uint64_t kDay = 24 * kHour;
  static constexpr std::pair<std::string_view, uint64_t> kUnits[] = {
      {"s", kSecond}, {"m", kMinute},  {"", kHour},       {"h", kHour},
      {"d", kDay},    {"w", 7 * kDay}, {"mo", 30 * kDay}, {"y", 365 * kDay}};
  constexpr uint64_t kMost = 100 * 365 * kDay;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const auto* found = std::ranges::find(kUnits, unit, [](const auto& u) { return u.first; });
  if (error != std::errc() || found == std::end(kUnits)) {
    return Fail(ErrorCode::kInvalid,
                "\"{}\" is no duration: a number with s, m, h, d, w, mo or y (90s, 10m)", text);
  }
  if (number == 0 || number > kMost / found->second) {
    return Fail(ErrorCode::kInvalid, "duration \"{}\" is out of range: 1s to 100y", text);
  }
  return number * found->second;
}

}  // namespace msb::base
