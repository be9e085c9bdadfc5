#include "src/server/auth/authenticator.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "src/base/bytes.h"
#include "src/server/auth/token.h"
#include "src/server/http/head.h"

namespace msb::server {
namespace {

constexpr int kUnauthorized = 401;
constexpr int kNoKey = 1001;
constexpr int kBadKey = 1004;
constexpr const char* kNobody = "dev";

// The token, or nothing; absent if there is more than one header that could hold it.
std::optional<std::string_view> TokenOf(const http::Request& request) {
  for (const std::string_view name : {"proxy-authorization", "authorization"}) {
    const auto count =
        std::ranges::count(request.headers, name, [](const auto& field) { return field.first; });
    if (count > 1) return std::nullopt;
    if (count == 0) continue;
    std::string_view value = request.Header(name);
    constexpr size_t kScheme = 6;  // "bearer"
    if (http::ToLower(value.substr(0, kScheme)) == "bearer" && value.size() > kScheme &&
        value[kScheme] == ' ') {
      value = http::TrimBlanks(value.substr(kScheme));
    }
    return value;
  }
  return std::string_view();
}

// A name for a token that has none of its own.
std::string DigestOf(std::string_view token) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  CHECK(::EVP_Digest(token.data(), token.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
  constexpr size_t kIdBytes = 8;
  return base::HexEncode(std::span(digest).first(kIdBytes));
}

Caller CallerOf(const Claims& claims, std::string_view token) {
  Caller caller;
  caller.key_id = claims.jti.value_or(DigestOf(token));
  caller.namespace_ = claims.namespace_;
  caller.expires_s = claims.exp;
  if (claims.images) caller.images = *claims.images;
  if (claims.limits) {
    caller.limits = {.sandboxes = claims.limits->sandboxes,
                     .memory_mib = claims.limits->memory_mib,
                     .cpus = claims.limits->cpus,
                     .disk_mib = claims.limits->disk_mib};
  }
  return caller;
}

}  // namespace

std::expected<Caller, ApiError> Authenticator::operator()(const http::Request& request) const {
  if (!key_) return Caller{.key_id = kNobody};
  const auto token = TokenOf(request);
  if (!token) {
    return std::unexpected(ApiError{kUnauthorized, kBadKey, "more than one API key was sent"});
  }
  if (token->empty()) {
    return std::unexpected(ApiError{kUnauthorized, kNoKey,
                                    "this server wants an API key: make one with msb server "
                                    "keygen, and send it as Authorization: Bearer KEY "
                                    "(MSB_API_KEY for the SDKs)"});
  }
  const auto claims = ParseToken(*token, *key_, ::time(nullptr));
  if (!claims) {
    return std::unexpected(ApiError{kUnauthorized, kBadKey, claims.error().message()});
  }
  return CallerOf(*claims, *token);
}

}  // namespace msb::server
