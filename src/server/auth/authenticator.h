// Authenticator: from a request's headers to its Caller. Immutable; any thread.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "src/server/auth/caller.h"
#include "src/server/errors.h"
#include "src/server/http/exchange.h"

namespace msb::server {

class Authenticator {
 public:
  // Without a key: everybody who can reach the server may do everything (--dev).
  explicit Authenticator(std::optional<std::string> key) : key_(std::move(key)) {}

  // Proxy-Authorization, else Authorization; "Bearer " may be left out. 401/1001 without a token,
  // 401/1004 for one that is not valid.
  std::expected<Caller, ApiError> operator()(const http::Request& request) const;

 private:
  std::optional<std::string> key_;
};

}  // namespace msb::server
