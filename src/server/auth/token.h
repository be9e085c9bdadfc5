// Token: what a client shows: "msb_" and a JSON Web Token (RFC 7519), signed with HMAC-SHA256
// (RFC 7515, RFC 7518 3.2). Pure, fuzzed.
//
// One algorithm, named by us, never by the token: "none" and every other is refused, as is whatever
// the header demands beyond it (crit).
#pragma once

#include <boost/describe.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace msb::server {

struct LimitClaims {
  std::optional<uint64_t> sandboxes;
  std::optional<uint64_t> memory_mib;
  std::optional<uint64_t> cpus;
  std::optional<uint64_t> disk_mib;
};
BOOST_DESCRIBE_STRUCT(LimitClaims, (), (sandboxes, memory_mib, cpus, disk_mib))

struct Claims {
  int64_t exp = 0;                                 // seconds since 1970: void from then on
  int64_t iat = 0;                                 // when it was made
  std::string namespace_;                          // or "*"
  std::optional<std::string> jti;                  // the key's id
  std::optional<std::vector<std::string>> images;  // patterns; absent: all
  std::optional<LimitClaims> limits;
  static constexpr auto kRequired = std::to_array<std::string_view>({"exp", "namespace"});
};
BOOST_DESCRIBE_STRUCT(Claims, (), (exp, iat, namespace_, jti, images, limits))

inline constexpr std::string_view kTokenPrefix = "msb_";

std::string MakeToken(const Claims& claims, std::string_view key);

// kDenied, with what to do, for a token that is not ours, or no more. Nothing of it is quoted.
base::Result<Claims> ParseToken(std::string_view token, std::string_view key, int64_t now_s);

// "*", or 1 to 63 of [A-Za-z0-9_-], the first a letter or digit.
bool IsNamespaceClaim(std::string_view text);

}  // namespace msb::server
