// How much a request's JSON takes once it is parsed, known before. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace msb::server {

// How many values, names counted, a JSON text has at most; one that has many takes a multiple of
// its size once it is parsed.
size_t CountValues(std::string_view json);
inline constexpr size_t kMaxValues = 100'000;  // of one request

}  // namespace msb::server
