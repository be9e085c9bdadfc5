#include "src/sandbox/environment.h"

#include <algorithm>

namespace msb::sandbox {
namespace {

std::string_view KeyOf(const base::Bytes& entry) {
  return std::string_view(entry.data).substr(0, entry.data.find('='));
}

}  // namespace

base::Result<base::Bytes> ParseEnv(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return base::Fail(base::ErrorCode::kInvalid,
                      "\"{}\" is not an environment variable: write NAME=VALUE", text);
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

}  // namespace msb::sandbox
