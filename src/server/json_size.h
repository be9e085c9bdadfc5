// How much a request's JSON takes once it is parsed, known before; and where it is parsed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "src/server/async.h"

namespace msb::server {

// How many values, names counted, a JSON text has at most; one that has many takes a multiple of
// its size once it is parsed.
size_t CountValues(std::string_view json);
inline constexpr size_t kMaxValues = 100'000;  // of one request

// `parse(text)`; of a long text on the executor `aside`, since others would wait for it. The text
// is destroyed there.
template <typename Parse>
Async<std::invoke_result_t<Parse, std::string_view>> ParseAside(boost::asio::any_io_executor aside,
                                                                std::string text, Parse parse) {
  constexpr size_t kLong = 128 * 1024;  // less takes less than going to another thread and back
  if (text.size() < kLong) co_return parse(text);
  co_return co_await DoOn(std::move(aside),
                          [text = std::move(text), parse] { return parse(text); });
}

}  // namespace msb::server
