#include "src/base/json.h"

#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>

#include <algorithm>
#include <cmath>

namespace msb::base::json {
namespace {

// How many bytes at `at` are a character that a terminal obeys or that turns text around: DEL, C1
// control characters, bidirectional marks and isolates. 0: none.
size_t ControlLength(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return at + i < text.size() ? static_cast<uint8_t>(text[at + i]) : 0;
  };
  if (byte(0) == 0x7f) return 1;
  if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) <= 0x9f) return 2;
  if (byte(0) != 0xe2) return 0;
  const bool marks = byte(1) == 0x80 &&
                     (byte(2) == 0x8e || byte(2) == 0x8f || (byte(2) >= 0xaa && byte(2) <= 0xae));
  const bool isolates = byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9;
  return marks || isolates ? 3 : 0;
}

// What is printed as JSON may hold a guest's text, and may be looked at on a terminal. Boost
// escapes what JSON demands, up to U+001F; the rest is escaped here: all else of such text is
// ASCII.
std::string Serialize(const Value& value) {
  std::string text = boost::json::serialize(value);
  // One look for each, since that is the C library's memchr.
  if (std::ranges::none_of(std::string_view("\x7f\xc2\xe2"),
                           [&](char c) { return text.contains(c); })) {
    return text;
  }
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = ControlLength(text, at);
    const auto byte = [&](size_t i) {
      return static_cast<uint32_t>(static_cast<uint8_t>(text[at + i]));
    };
    switch (length) {
      case 0:
        out += text[at];
        break;
      case 1:
        out += "\\u007f";
        break;
      case 2:
        out += fmt::format("\\u{:04x}", (byte(0) & 0x1f) << 6 | (byte(1) & 0x3f));
        break;
      default:
        out += fmt::format("\\u{:04x}",
                           (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f));
    }
    at += std::max<size_t>(length, 1);
  }
  return out;
}

// A number that is too large was read as infinity, or zero times that as NaN: JSON can write
// neither.
bool HasNonFinite(const Value& value) {
  if (value.is_double()) return !std::isfinite(value.get_double());
  if (value.is_array()) return std::ranges::any_of(value.get_array(), HasNonFinite);
  if (!value.is_object()) return false;
  return std::ranges::any_of(value.get_object(),
                             [](const auto& entry) { return HasNonFinite(entry.value()); });
}

void Pretty(const Value& value, size_t indent, std::string& out) {
  const auto list = [&](const auto& items, char open, char close, auto&& write_item) {
    if (items.empty()) {
      out += {open, close};
      return;
    }
    out += open;
    bool first = true;
    for (const auto& item : items) {
      out += first ? "\n" : ",\n";
      out.append(indent + 2, ' ');
      write_item(item);
      first = false;
    }
    out += '\n';
    out.append(indent, ' ');
    out += close;
  };
  if (value.is_object()) {
    list(value.get_object(), '{', '}', [&](const auto& entry) {
      out += Serialize(Value(entry.key()));
      out += ": ";
      Pretty(entry.value(), indent + 2, out);
    });
  } else if (value.is_array()) {
    list(value.get_array(), '[', ']', [&](const auto& item) { Pretty(item, indent + 2, out); });
  } else {
    out += Serialize(value);
  }
}

}  // namespace

Result<Value> ParseValue(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = 32;
  boost::json::stream_parser parser({}, options);
  boost::json::error_code failure;
  size_t used = 0;
  if (!text.empty()) used = parser.write_some(text, failure);
  if (!failure && used < text.size()) {
    return Fail(ErrorCode::kInvalid, "not JSON: text after the value, at byte {}", used);
  }
  if (!failure) parser.finish(failure);
  if (failure) return Fail(ErrorCode::kInvalid, "not JSON: {} at byte {}", failure.message(), used);
  Value value = parser.release();
  if (HasNonFinite(value)) {
    return Fail(ErrorCode::kInvalid, "a number is beyond what 64-bit floating point can hold");
  }
  return value;
}

std::string WriteValue(const Value& value) { return Serialize(value); }

std::string WritePretty(const Value& value) {
  std::string out;
  Pretty(value, 0, out);
  return out;
}

std::string EnumName(std::string_view enumerator) {
  if (enumerator.starts_with('k')) enumerator.remove_prefix(1);
  std::string out;
  for (const char c : enumerator) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && !out.empty()) out += '_';
    out += upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

Error ExpectedError(std::string_view path, std::string_view expected) {
  return Fail(ErrorCode::kInvalid, "{}: expected {}", path.empty() ? "value" : path, expected);
}

Result<Bytes> DecodeBytes(const Value& value, std::string_view path) {
  if (value.is_string()) return Bytes(std::string_view(value.get_string()));
  const Value* encoded = value.is_object() ? value.get_object().if_contains("b") : nullptr;
  if (encoded != nullptr && encoded->is_string() && value.get_object().size() == 1) {
    if (auto decoded = Base64Decode(encoded->get_string())) return Bytes(*std::move(decoded));
  }
  return ExpectedError(path, R"(a string or {"b": base64})");
}

Value EncodeNumber(double number) {
  constexpr double kExact = 9007199254740992;  // 2^53
  if (number != std::floor(number) || std::fabs(number) > kExact) return number;
  return static_cast<int64_t>(number);
}

Value EncodeBytes(const Bytes& bytes) {
  const bool plain = IsValidUtf8(bytes.data) && bytes.data.find('\0') == std::string::npos;
  if (plain) return Value(std::string_view(bytes.data));
  return Object{{"b", Base64Encode(bytes.data)}};
}

}  // namespace msb::base::json
