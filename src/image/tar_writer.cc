#include "src/image/tar_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace msb::image {
namespace {

constexpr size_t kNameField = 100;
constexpr int64_t kMaxOctal7 = 07777777;       // 8-byte fields
constexpr int64_t kMaxOctal11 = 077777777777;  // 12-byte fields

class Block {
 public:
  void Text(size_t offset, size_t length, std::string_view text) {
    std::memcpy(bytes_.data() + offset, text.data(), std::min(length, text.size()));
  }
  // Zero-filled octal, ended by NUL. What does not fit is said by an extended header.
  void Octal(size_t offset, size_t length, int64_t value) {
    const int64_t limit = length == 8 ? kMaxOctal7 : kMaxOctal11;
    Text(offset, length,
         fmt::format("{:0{}o}", value < 0 || value > limit ? 0 : value, length - 1));
  }
  std::string_view Finish() {
    Text(257, 8, std::string_view("ustar\00000", 8));
    Text(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : bytes_) sum += static_cast<uint8_t>(c);
    Text(148, 8, fmt::format("{:06o}", sum));
    bytes_[154] = '\0';
    return {bytes_.data(), bytes_.size()};
  }

 private:
  std::array<char, kTarBlock> bytes_ = {};
};

char TypeOf(MemberKind kind) {
  switch (kind) {
    case MemberKind::kFile:
      return '0';
    case MemberKind::kHardLink:
      return '1';
    case MemberKind::kSymlink:
      return '2';
    case MemberKind::kCharDevice:
      return '3';
    case MemberKind::kBlockDevice:
      return '4';
    case MemberKind::kDirectory:
      return '5';
    case MemberKind::kFifo:
      return '6';
  }
  return '0';
}

// "length key=value\n", the length counting itself.
std::string PaxRecord(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) ++length;
  return fmt::format("{} {}={}\n", length, key, value);
}

std::string DecimalTime(const TarTime& time) {
  if (time.nanoseconds == 0) return std::to_string(time.seconds);
  if (time.seconds >= 0) return fmt::format("{}.{:09}", time.seconds, time.nanoseconds);
  const int64_t whole = time.seconds + 1;  // towards zero
  return fmt::format("{}{}.{:09}", whole == 0 ? "-" : "", whole, 1'000'000'000 - time.nanoseconds);
}

// How the holes of a sparse file are said: a map before the data.
std::string SparseMap(const TarMember& member) {
  std::vector<SparseSegment> segments = *member.sparse;
  if (segments.empty() || segments.back().offset + segments.back().length < member.size) {
    segments.push_back({member.size, 0});  // how GNU tar marks a hole at the end
  }
  std::string map = fmt::format("{}\n", segments.size());
  for (const SparseSegment& segment : segments) {
    map += fmt::format("{}\n{}\n", segment.offset, segment.length);
  }
  map.resize((map.size() + kTarBlock - 1) / kTarBlock * kTarBlock);
  return map;
}

std::string ExtendedHeader(const TarMember& member, uint64_t stored) {
  std::string pax;
  const auto number = [&](std::string_view key, int64_t value, int64_t limit) {
    if (value > limit) pax += PaxRecord(key, std::to_string(value));
  };
  if (member.name.size() > kNameField && !member.sparse) pax += PaxRecord("path", member.name);
  if (member.link.size() > kNameField) pax += PaxRecord("linkpath", member.link);
  number("size", static_cast<int64_t>(stored), kMaxOctal11);
  number("uid", member.uid, kMaxOctal7);
  number("gid", member.gid, kMaxOctal7);
  if (member.mtime.nanoseconds != 0 || member.mtime.seconds < 0 ||
      member.mtime.seconds > kMaxOctal11) {
    pax += PaxRecord("mtime", DecimalTime(member.mtime));
  }
  if (member.sparse) {
    pax += PaxRecord("GNU.sparse.major", "1") + PaxRecord("GNU.sparse.minor", "0") +
           PaxRecord("GNU.sparse.name", member.name) +
           PaxRecord("GNU.sparse.realsize", std::to_string(member.size));
  }
  for (const auto& [name, value] : member.xattrs) pax += PaxRecord("SCHILY.xattr." + name, value);
  return pax;
}

}  // namespace

base::Status TarWriter::Put(std::string_view data) {
  position_ += data.size();
  return data.empty() ? base::Status() : sink_(data);
}

base::Status TarWriter::Pad() {
  static constexpr std::array<char, kTarBlock> kZeroes = {};
  const size_t padding = (kTarBlock - position_ % kTarBlock) % kTarBlock;
  return Put({kZeroes.data(), padding});
}

base::Status TarWriter::Begin(const TarMember& member) {
  std::string map;
  uint64_t stored = member.kind == MemberKind::kFile ? member.size : 0;
  if (member.sparse) {
    map = SparseMap(member);
    stored = map.size();
    for (const SparseSegment& segment : *member.sparse) stored += segment.length;
  }
  if (const std::string pax = ExtendedHeader(member, stored); !pax.empty()) {
    Block header;
    header.Text(0, kNameField, "PaxHeaders");
    header.Octal(100, 8, 0644);
    header.Octal(108, 8, 0);
    header.Octal(116, 8, 0);
    header.Octal(124, 12, static_cast<int64_t>(pax.size()));
    header.Octal(136, 12, 0);
    header.Text(156, 1, "x");
    TRY(Put(header.Finish()));
    TRY(Put(pax));
    TRY(Pad());
  }
  Block header;
  header.Text(0, kNameField, member.name);
  header.Octal(100, 8, member.mode);
  header.Octal(108, 8, member.uid);
  header.Octal(116, 8, member.gid);
  header.Octal(124, 12, static_cast<int64_t>(stored));
  header.Octal(136, 12, member.mtime.seconds);
  header.Text(156, 1, std::string(1, TypeOf(member.kind)));
  header.Text(157, kNameField, member.link);
  header.Octal(329, 8, member.device_major);
  header.Octal(337, 8, member.device_minor);
  TRY(Put(header.Finish()));
  return Put(map);
}

base::Status TarWriter::EndData() { return Pad(); }

base::Status TarWriter::Finish() { return Put(std::string(2 * kTarBlock, '\0')); }

}  // namespace msb::image
