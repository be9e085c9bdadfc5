// Bytes: a byte string that may not be UTF-8 (argv, environment, paths of a guest).
//
// In JSON it is a plain string where it is valid UTF-8 without U+0000, else {"b": "<base64>"}; one
// codec for every protocol of ours (src/base/json.h).
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace msb::base {

struct Bytes {
  std::string data;

  Bytes() = default;
  Bytes(std::string value) : data(std::move(value)) {}  // NOLINT: a string is bytes
  Bytes(std::string_view value) : data(value) {}        // NOLINT
  Bytes(const char* value) : data(value) {}             // NOLINT
  auto operator<=>(const Bytes&) const = default;
  bool empty() const { return data.empty(); }
};

bool IsValidUtf8(
    std::string_view text);  // strict: no surrogates, no overlong forms, at most U+10FFFF

std::string Base64Encode(std::string_view data);                 // RFC 4648 section 4, padded
std::optional<std::string> Base64Decode(std::string_view text);  // strict: padding, no white space

std::string HexEncode(std::span<const uint8_t> data);         // lower case
std::optional<std::string> HexDecode(std::string_view text);  // even length, either case

// For printing foreign bytes on a terminal: control characters, escapes and bytes that are not
// UTF-8 become \n, \t, \xNN; the rest stays.
std::string EscapeForTerminal(std::string_view text);
// The same, but lines stay lines, and tabs tabs.
std::string EscapeLinesForTerminal(std::string_view text);

}  // namespace msb::base
