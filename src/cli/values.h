// Values on the command line. Errors are kInvalid and quote what was given.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/result.h"

namespace msb::cli {

// "512" is MiB; "64K", "512M", "2G" (powers of 1024; either case). Greater than 0, below 2^50.
base::Result<uint64_t> ParseSize(std::string_view text);

// "90s", "10m", "2h", "3d", "1w", "1mo" (30 days), "1y" (365 days); without a unit hours. In ms,
// greater than 0, at most 100 years.
base::Result<uint64_t> ParseDuration(std::string_view text);

// "SIGTERM", "TERM", "15", "SIGRTMIN+3": the signal's number.
base::Result<int> ParseSignal(std::string_view text);

// K=V with a K that a shell can use as a variable: not empty, no '='.
base::Result<base::Bytes> ParseEnv(std::string_view text);

// `base` with each K=V of `over` replacing or added.
std::vector<base::Bytes> MergeEnv(const std::vector<base::Bytes>& base,
                                  const std::vector<base::Bytes>& over);

}  // namespace msb::cli
