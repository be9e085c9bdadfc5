#include "src/cli/values.h"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace msb::cli {
namespace {

using base::ErrorCode;
using base::Fail;

std::string_view KeyOf(const base::Bytes& entry) {
  return std::string_view(entry.data).substr(0, entry.data.find('='));
}

}  // namespace

base::Result<uint64_t> ParseSize(std::string_view text) {
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

base::Result<uint64_t> ParseDuration(std::string_view text) {
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

base::Result<int> ParseSignal(std::string_view text) {
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  int base = 0;
  if (name.starts_with("RTMIN")) {
    base = SIGRTMIN;
    name.remove_prefix(5);
    if (name.starts_with('+')) name.remove_prefix(1);
    if (name.empty()) name = "0";
  }
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error == std::errc() && end == name.data() + name.size() && number >= 0 &&
      base + number >= 1 && base + number <= SIGRTMAX) {
    return base + number;
  }
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return Fail(ErrorCode::kInvalid, "\"{}\" is no signal: a name (SIGTERM) or a number", text);
}

base::Result<base::Bytes> ParseEnv(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return Fail(ErrorCode::kInvalid, "\"{}\" is no environment variable: NAME=VALUE is", text);
  }
  return base::Bytes(text);
}

std::vector<base::Bytes> MergeEnv(const std::vector<base::Bytes>& base,
                                  const std::vector<base::Bytes>& over) {
  std::vector<base::Bytes> merged = base;
  for (const base::Bytes& entry : over) {
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const base::Bytes& existing) {
      return KeyOf(existing) == KeyOf(entry);
    });
    if (same != merged.end()) {
      *same = entry;
    } else {
      merged.push_back(entry);
    }
  }
  return merged;
}

}  // namespace msb::cli
