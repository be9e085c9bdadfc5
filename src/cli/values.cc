#include "src/cli/values.h"

#include <algorithm>
#include <charconv>

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
