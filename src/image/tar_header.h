// The 512-byte blocks of tar: fields, numbers, and the records of PAX headers. Pure functions over
// bytes, for hostile input. POSIX.1-2001 ("pax"), GNU tar's manual ("Basic Tar Format", "Storing
// Sparse Files"), star.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/result.h"

namespace msb::image {

inline constexpr size_t kTarBlock = 512;

// One header block, whatever its dialect.
class TarHeader {
 public:
  enum class Dialect { kV7, kUstar, kGnu, kStar };

  explicit TarHeader(const std::array<char, kTarBlock>& block) : block_(block) {}

  bool IsZero() const;
  bool ChecksumMatches() const;
  Dialect dialect() const;
  char type() const { return block_[156]; }
  std::string Name() const;  // with the prefix, where the dialect has one
  std::string LinkName() const { return Text(157, 100); }

  // Octal, or the binary form of GNU. Nothing if it is neither; an empty field is 0.
  std::optional<int64_t> Mode() const { return Number(100, 8); }
  std::optional<int64_t> Uid() const { return Number(108, 8); }
  std::optional<int64_t> Gid() const { return Number(116, 8); }
  std::optional<int64_t> Size() const { return Number(124, 12); }
  std::optional<int64_t> Mtime() const { return Number(136, 12); }
  std::optional<int64_t> DeviceMajor() const { return Number(329, 8); }
  std::optional<int64_t> DeviceMinor() const { return Number(337, 8); }

  std::optional<int64_t> Number(size_t offset, size_t length) const;
  bool Flag(size_t offset) const { return block_[offset] != '\0'; }

 private:
  std::string Text(size_t offset, size_t length) const;

  const std::array<char, kTarBlock>& block_;
};

// Of a sparse file: where there is data. In order, without overlap, checked by whoever made it.
struct SparseSegment {
  uint64_t offset;
  uint64_t length;
};

struct TarTime {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;  // always forward, also before 1970
};

// What the PAX headers before an entry say about it.
struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link_path;
  std::optional<uint64_t> size;
  std::optional<int64_t> uid;
  std::optional<int64_t> gid;
  std::optional<TarTime> mtime;
  std::vector<std::pair<std::string, std::string>> xattrs;  // the last of a name wins

  // GNU sparse files: 0.0 gives pairs, 0.1 a map, 1.0 keeps the map before the data.
  std::optional<std::string> sparse_name;
  std::optional<uint64_t> sparse_size;
  std::optional<uint64_t> sparse_major;
  std::optional<uint64_t> sparse_minor;
  std::vector<uint64_t> sparse_numbers;  // offset, length, offset, length …
  bool sparse = false;
};

// Adds the records of one extended header. Errors: kCorrupt (malformed), kLimit (too many).
base::Status ParsePax(std::string_view data, PaxRecords& out);

std::optional<uint64_t> ParseDecimal(std::string_view text);

}  // namespace msb::image
