#include "src/server/auth/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

#include "src/base/json.h"

namespace msb::server {
namespace {

using base::ErrorCode;

constexpr size_t kMaxToken = 8 << 10;
constexpr size_t kSignatureBytes = 32;

base::Error NotOurs() {
  return {ErrorCode::kDenied,
          "the API key is not valid for this server: make one with msb server keygen"};
}

// RFC 7515, appendix C: base64url without padding.
std::string Encode(std::string_view bytes) {
  std::string text = base::Base64Encode(bytes);
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  text.erase(std::min(text.find('='), text.size()));
  return text;
}

std::optional<std::string> Decode(std::string_view text) {
  if (text.find_first_of("+/=") != std::string_view::npos) return std::nullopt;
  std::string padded(text);
  std::ranges::replace(padded, '-', '+');
  std::ranges::replace(padded, '_', '/');
  padded.resize((padded.size() + 3) / 4 * 4, '=');
  auto bytes = base::Base64Decode(padded);
  if (!bytes || Encode(*bytes) != text) return std::nullopt;  // one spelling only
  return bytes;
}

std::string Sign(std::string_view text, std::string_view key) {
  std::array<unsigned char, kSignatureBytes> signature;
  unsigned int size = 0;
  const unsigned char* made = ::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     text.size(), signature.data(), &size);
  CHECK(made != nullptr && size == signature.size());
  return {reinterpret_cast<const char*>(signature.data()), signature.size()};
}

// Only after the signature was found to be ours.
base::Status CheckHeader(std::string_view encoded) {
  const auto text = Decode(encoded);
  if (!text) return NotOurs();
  const auto header = base::json::ParseValue(*text);
  if (!header || !header->is_object()) return NotOurs();
  const base::json::Object& object = header->get_object();
  const auto* algorithm = object.if_contains("alg");
  if (algorithm == nullptr || !algorithm->is_string() || algorithm->get_string() != "HS256" ||
      object.contains("crit")) {
    return NotOurs();
  }
  return {};
}

bool IsWordChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

bool IsNamespaceClaim(std::string_view text) {
  if (text == "*") return true;
  return !text.empty() && text.size() <= 63 && IsWordChar(text[0]) &&
         std::ranges::all_of(text, [](char c) { return IsWordChar(c) || c == '_' || c == '-'; });
}

std::string MakeToken(const Claims& claims, std::string_view key) {
  const std::string signed_text =
      Encode(R"({"typ":"JWT","alg":"HS256"})") + "." + Encode(base::json::Write(claims));
  return std::string(kTokenPrefix) + signed_text + "." + Encode(Sign(signed_text, key));
}

base::Result<Claims> ParseToken(std::string_view token, std::string_view key, int64_t now_s) {
  if (token.size() > kMaxToken || !token.starts_with(kTokenPrefix)) return NotOurs();
  token.remove_prefix(kTokenPrefix.size());
  const size_t first = token.find('.');
  const size_t second = token.rfind('.');
  if (first == second || token.find('.', first + 1) != second) return NotOurs();

  const auto signature = Decode(token.substr(second + 1));
  const std::string expected = Sign(token.substr(0, second), key);
  if (!signature || signature->size() != expected.size() ||
      ::CRYPTO_memcmp(signature->data(), expected.data(), expected.size()) != 0) {
    return NotOurs();
  }
  TRY(CheckHeader(token.substr(0, first)));
  const auto text = Decode(token.substr(first + 1, second - first - 1));
  if (!text) return NotOurs();
  auto claims = base::json::Parse<Claims>(*text);
  if (!claims || !IsNamespaceClaim(claims->namespace_)) return NotOurs();
  if (claims->exp <= now_s) {
    return base::Error(ErrorCode::kDenied,
                       "the API key has expired: make another with msb server keygen");
  }
  return claims;
}

}  // namespace msb::server
