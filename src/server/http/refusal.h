// Refusal: a request that no handler sees, as the status and the sentence that answer it. Value.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <utility>

namespace msb::server::http {

struct Refusal {
  int status = 400;
  std::string message;
};

template <typename T>
using Accepted = std::expected<T, Refusal>;

template <typename... Args>
std::unexpected<Refusal> Refuse(int status, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Refusal{status, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace msb::server::http
