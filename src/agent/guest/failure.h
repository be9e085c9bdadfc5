// Failures as the host gets them, made from Errors.
#pragma once

#include <expected>
#include <utility>

#include "src/agent/protocol.h"
#include "src/base/result.h"

namespace msb::agent {

template <typename T>
using Outcome = std::expected<T, Failure>;

template <typename... Args>
std::unexpected<Failure> Refuse(FailureCode code, fmt::format_string<Args...> format,
                                Args&&... args) {
  return std::unexpected(
      Failure{code, base::Bytes(fmt::format(format, std::forward<Args>(args)...))});
}

inline std::unexpected<Failure> Refuse(FailureCode code, const base::Error& error) {
  return std::unexpected(Failure{code, base::Bytes(error.message())});
}

// For files: the code that fits the error.
Failure FileFailure(const base::Error& error);

}  // namespace msb::agent
