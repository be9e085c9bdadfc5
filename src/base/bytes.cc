#include "src/base/bytes.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace msb::base {
namespace {

// U+202A–202E and U+2066–2069 reorder what stands around them.
bool IsBidiControl(std::string_view sequence) {
  if (sequence.size() != 3 || sequence[0] != '\xe2') return false;
  const auto second = static_cast<uint8_t>(sequence[1]);
  const auto third = static_cast<uint8_t>(sequence[2]);
  return (second == 0x80 && third >= 0xaa && third <= 0xae) ||
         (second == 0x81 && third >= 0xa6 && third <= 0xa9);
}

// Length of the UTF-8 sequence that starts `text`, 0 if there is none.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
  if (first == 0xed && byte(1) > 0x9f) return 0;  // surrogates
  if (first == 0xf0 && byte(1) < 0x90) return 0;  // overlong
  if (first == 0xf4 && byte(1) > 0x8f) return 0;  // above U+10FFFF
  return length;
}

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> kBase64Value = [] {
  std::array<int8_t, 256> table{};
  table.fill(-1);
  for (size_t i = 0; i < kBase64.size(); ++i) {
    table[static_cast<uint8_t>(kBase64[i])] = static_cast<int8_t>(i);
  }
  return table;
}();

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  while (!text.empty()) {
    uint64_t word;
    if (text.size() >= sizeof word) {  // most text is ASCII: eight characters at a time
      std::memcpy(&word, text.data(), sizeof word);
      if ((word & kHighBits) == 0) {
        text.remove_prefix(sizeof word);
        continue;
      }
    }
    const size_t length = SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string Base64Encode(std::string_view data) {
  std::string out;
  out.reserve((data.size() + 2) / 3 * 4);
  for (size_t i = 0; i < data.size(); i += 3) {
    const size_t left = data.size() - i;
    uint32_t word = static_cast<uint8_t>(data[i]) << 16;
    if (left > 1) word |= static_cast<uint8_t>(data[i + 1]) << 8;
    if (left > 2) word |= static_cast<uint8_t>(data[i + 2]);
    out += kBase64[word >> 18];
    out += kBase64[(word >> 12) & 63];
    out += left > 1 ? kBase64[(word >> 6) & 63] : '=';
    out += left > 2 ? kBase64[word & 63] : '=';
  }
  return out;
}

std::optional<std::string> Base64Decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const int padding = !last ? 0 : text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
    uint32_t word = 0;
    for (int k = 0; k < 4; ++k) {
      const int value = k >= 4 - padding
                            ? 0
                            : kBase64Value[static_cast<uint8_t>(text[i + static_cast<size_t>(k)])];
      if (value < 0) return std::nullopt;
      word = word << 6 | static_cast<uint32_t>(value);
    }
    // Bits that padding cuts off must be zero, or two texts would mean the same bytes.
    if ((padding == 1 && (word & 0xff) != 0) || (padding == 2 && (word & 0xffff) != 0)) {
      return std::nullopt;
    }
    out += static_cast<char>(word >> 16);
    if (padding < 2) out += static_cast<char>(word >> 8);
    if (padding < 1) out += static_cast<char>(word);
  }
  return out;
}

std::string HexEncode(std::span<const uint8_t> data) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(data.size() * 2);
  for (const uint8_t byte : data) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::optional<std::string> HexDecode(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = HexValue(text[i]);
    const int low = HexValue(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string EscapeLinesForTerminal(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t plain = std::min(text.find_first_of("\n\t"), text.size());
    out += EscapeForTerminal(text.substr(0, plain));
    if (plain < text.size()) out += text[plain];
    text.remove_prefix(std::min(plain + 1, text.size()));
  }
  return out;
}

std::string EscapeForTerminal(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const auto byte = static_cast<uint8_t>(text[0]);
    // C1 controls (U+0080..U+009F) are two bytes and some terminals obey them.
    const bool c1 = length == 2 && byte == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0;
    if (text[0] == '\n') {
      out += "\\n";
    } else if (text[0] == '\t') {
      out += "\\t";
    } else if (length == 0 || byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else if (c1 || IsBidiControl(text.substr(0, length))) {
      for (const char part : text.substr(0, length)) {
        out += fmt::format("\\x{:02x}", static_cast<uint8_t>(part));
      }
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace msb::base
