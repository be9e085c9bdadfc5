// Quantities as people write them. Errors are kInvalid and quote what was given.
#pragma once

#include <cstdint>
#include <string_view>

#include "src/base/result.h"

namespace msb::base {

// "512" is MiB; "64K", "512M", "2G" (powers of 1024; either case). Greater than 0, below 2^50.
Result<uint64_t> ParseSize(std::string_view text);

// "90s", "10m", "2h", "3d", "1w", "1mo" (30 days), "1y" (365 days); without a unit hours. In ms,
// greater than 0, at most 100 years.
Result<uint64_t> ParseDuration(std::string_view text);

}  // namespace msb::base
