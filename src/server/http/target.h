// A request's target in origin form (RFC 9112, 3.2.1), taken apart and decoded. Pure.
//
// Strict, since a path that two programs read differently is how rules are got round: what is not
// plainly one path is refused with 400.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "src/server/http/limits.h"
#include "src/server/http/refusal.h"

namespace msb::server::http {

struct Target {
  std::string path;  // begins with '/'; valid UTF-8 without control characters, no "." or ".."
  std::multimap<std::string, std::string> query;  // valid UTF-8 without NUL
};

Accepted<Target> ParseTarget(std::string_view text, const ConnectionLimits& limits);

}  // namespace msb::server::http
