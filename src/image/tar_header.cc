#include "src/image/tar_header.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "src/base/bytes.h"
#include "src/image/layer_index.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using std::literals::operator""sv;

constexpr size_t kMaxSparseNumbers = 2'000'000;

base::Error Corrupt(std::string_view what) {
  return Fail(ErrorCode::kCorrupt, "extended header: {}", what);
}

std::optional<int64_t> Binary(std::string_view field) {
  // Two's complement, big endian; the top bit marks the form and is not part of the number.
  const bool negative = (static_cast<uint8_t>(field[0]) & 0x40) != 0;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < field.size(); ++i) {
    uint8_t byte = static_cast<uint8_t>(field[i]);
    if (i == 0) byte = negative ? byte | 0x80 : byte & 0x7f;
    const uint64_t top = value >> 56;
    if (top != (negative ? 0xff : 0)) return std::nullopt;
    value = value << 8 | byte;
  }
  if ((static_cast<int64_t>(value) < 0) != negative) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::optional<int64_t> Octal(std::string_view field) {
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  const size_t end = field.find_first_of("\0 "sv);
  const std::string_view rest = end == std::string_view::npos ? ""sv : field.substr(end);
  field = field.substr(0, end);
  if (rest.find_first_not_of("\0 "sv) != std::string_view::npos) return std::nullopt;
  uint64_t value = 0;
  for (const char c : field) {
    if (c < '0' || c > '7' || value >> 60 != 0) return std::nullopt;
    value = value << 3 | static_cast<uint64_t>(c - '0');
  }
  return static_cast<int64_t>(value);
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || text.empty()) {
    return std::nullopt;
  }
  return value;
}

// "-1.5" is half a second before -1: seconds -2, nanoseconds 500000000.
std::optional<TarTime> ParseTime(std::string_view text) {
  const size_t dot = text.find('.');
  const bool negative = text.starts_with('-');
  const auto seconds = ParseInteger(text.substr(0, dot));
  if (!seconds) return std::nullopt;
  TarTime time{*seconds, 0};
  if (dot == std::string_view::npos) return time;
  std::string fraction(text.substr(dot + 1));
  if (fraction.size() > 9) fraction.resize(9);  // truncated, as GNU tar does
  fraction.resize(9, '0');
  const auto nanoseconds = ParseDecimal(fraction);
  if (!nanoseconds || text.find_first_not_of("0123456789", dot + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  time.nanoseconds = static_cast<uint32_t>(*nanoseconds);
  if (negative && time.nanoseconds != 0) {
    if (time.seconds == std::numeric_limits<int64_t>::min()) return std::nullopt;
    time.seconds -= 1;
    time.nanoseconds = 1'000'000'000 - time.nanoseconds;
  }
  return time;
}

std::optional<std::string> DecodeUrl(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto byte = base::HexDecode(text.substr(i + 1, 2));
    if (!byte || byte->size() != 1) return std::nullopt;
    out += *byte;
    i += 2;
  }
  return out;
}

// libarchive writes base64 without padding.
std::optional<std::string> DecodeUnpaddedBase64(std::string_view text) {
  std::string padded(text.substr(0, text.find('=')));
  padded.append((4 - padded.size() % 4) % 4, '=');
  return base::Base64Decode(padded);
}

base::Status SetXattr(std::string name, std::string value, bool overwrite, PaxRecords& out) {
  if (name.empty() || name.find('\0') != std::string::npos) return Corrupt("bad attribute name");
  const auto same = [&](const auto& pair) { return pair.first == name; };
  const auto found = std::ranges::find_if(out.xattrs, same);
  if (found != out.xattrs.end()) {
    if (overwrite) found->second = std::move(value);
    return {};
  }
  if (out.xattrs.size() >= kMaxXattrs) {
    return Fail(ErrorCode::kLimit, "more than {} extended attributes", kMaxXattrs);
  }
  out.xattrs.emplace_back(std::move(name), std::move(value));
  return {};
}

template <typename T>
base::Status SetNumber(std::string_view key, std::string_view text, std::optional<T> parsed,
                       std::optional<T>& field) {
  field.reset();
  if (text.empty()) return {};  // an empty value takes an earlier one back
  if (!parsed) return Fail(ErrorCode::kCorrupt, "extended header: bad number for {}", key);
  field = parsed;
  return {};
}

base::Status SetText(std::string_view key, std::string_view text,
                     std::optional<std::string>& field) {
  field.reset();
  if (text.empty()) return {};
  if (text.find('\0') != std::string_view::npos) {
    return Fail(ErrorCode::kCorrupt, "extended header: NUL in {}", key);
  }
  field = text;
  return {};
}

base::Status AddSparseNumbers(std::string_view text, PaxRecords& out) {
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const auto number = ParseDecimal(text.substr(0, comma));
    if (!number) return Corrupt("bad sparse map");
    if (out.sparse_numbers.size() >= kMaxSparseNumbers) {
      return Fail(ErrorCode::kLimit, "sparse map with too many holes");
    }
    out.sparse_numbers.push_back(*number);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return {};
}

base::Status SetSparse(std::string_view key, std::string_view value, PaxRecords& out) {
  out.sparse = true;
  if (key == "name") return SetText("GNU.sparse.name", value, out.sparse_name);
  if (key == "offset" || key == "numbytes") {
    // 0.0: the two alternate.
    const bool expects_length = out.sparse_numbers.size() % 2 == 1;
    if (expects_length != (key == "numbytes")) return Corrupt("bad sparse map");
    return AddSparseNumbers(value, out);
  }
  if (key == "map") {
    out.sparse_numbers.clear();
    return AddSparseNumbers(value, out);
  }
  const auto number = ParseDecimal(value);
  if (key == "size" || key == "realsize") return SetNumber(key, value, number, out.sparse_size);
  if (key == "major") return SetNumber(key, value, number, out.sparse_major);
  if (key == "minor") return SetNumber(key, value, number, out.sparse_minor);
  return {};  // numblocks and what may come
}

base::Status SetRecord(std::string_view key, std::string_view value, PaxRecords& out) {
  if (key == "path") return SetText(key, value, out.path);
  if (key == "linkpath") return SetText(key, value, out.link_path);
  if (key == "size") return SetNumber(key, value, ParseDecimal(value), out.size);
  if (key == "uid") return SetNumber(key, value, ParseInteger(value), out.uid);
  if (key == "gid") return SetNumber(key, value, ParseInteger(value), out.gid);
  if (key == "mtime") return SetNumber(key, value, ParseTime(value), out.mtime);
  if (key.starts_with("GNU.sparse.")) return SetSparse(key.substr(11), value, out);
  if (key.starts_with("SCHILY.xattr.")) {
    return SetXattr(std::string(key.substr(13)), std::string(value), true, out);
  }
  if (key.starts_with("LIBARCHIVE.xattr.")) {
    auto name = DecodeUrl(key.substr(17));
    auto decoded = DecodeUnpaddedBase64(value);
    if (!name || !decoded) return Corrupt("bad LIBARCHIVE.xattr record");
    return SetXattr(*std::move(name), *std::move(decoded), false, out);
  }
  return {};
}

}  // namespace

bool TarHeader::IsZero() const {
  return std::ranges::all_of(block_, [](char c) { return c == '\0'; });
}

bool TarHeader::ChecksumMatches() const {
  const auto stored = Number(148, 8);
  int64_t plain = 0;
  int64_t with_signs = 0;  // what some old programs wrote
  for (size_t i = 0; i < block_.size(); ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block_[i];
    plain += static_cast<uint8_t>(c);
    with_signs += static_cast<signed char>(c);
  }
  return stored && (*stored == plain || *stored == with_signs);
}

TarHeader::Dialect TarHeader::dialect() const {
  const std::string_view magic(block_.data() + 257, 8);
  if (magic == "ustar  \0"sv) return Dialect::kGnu;
  if (magic.substr(0, 6) != "ustar\0"sv) return Dialect::kV7;
  const std::string_view trailer(block_.data() + 508, 4);
  return trailer == "tar\0"sv ? Dialect::kStar : Dialect::kUstar;
}

std::string TarHeader::Name() const {
  const std::string name = Text(0, 100);
  const Dialect kind = dialect();
  if (kind != Dialect::kUstar && kind != Dialect::kStar) return name;
  const std::string prefix = Text(345, kind == Dialect::kStar ? 131 : 155);
  return prefix.empty() ? name : prefix + "/" + name;
}

std::optional<int64_t> TarHeader::Number(size_t offset, size_t length) const {
  const std::string_view field(block_.data() + offset, length);
  return (static_cast<uint8_t>(field[0]) & 0x80) != 0 ? Binary(field) : Octal(field);
}

std::string TarHeader::Text(size_t offset, size_t length) const {
  const std::string_view field(block_.data() + offset, length);
  return std::string(field.substr(0, field.find('\0')));
}

base::Status ParsePax(std::string_view data, PaxRecords& out) {
  while (!data.empty() && data.front() != '\0') {  // some writers pad with NUL
    const size_t blank = data.substr(0, 20).find(' ');
    const auto length =
        blank == std::string_view::npos ? std::nullopt : ParseDecimal(data.substr(0, blank));
    if (!length || *length < blank + 3 || *length > data.size() || data[*length - 1] != '\n') {
      return Corrupt("bad record length");
    }
    const std::string_view record = data.substr(blank + 1, *length - blank - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return Corrupt("record without a key");
    TRY(SetRecord(record.substr(0, equals), record.substr(equals + 1), out));
    data.remove_prefix(*length);
  }
  return {};
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace msb::image
