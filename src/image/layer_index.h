// Layer index: what a converted layer contains, without the contents of its files.
//
// A layer is converted to two files. The *blob* is the file contents in tar order, each starting at
// a multiple of 4 KiB and zero-padded to the next. The *index* is a header and one record an entry,
// in tar order, duplicates and whiteouts included: what they mean depends on the layers below and
// is decided when layers are merged (merge.h).
//
// Format 1, little endian:
//   header, kIndexHeaderSize bytes
//     0  char[8]  "MSBLAYER"
//     8  u32      format (1)
//    12  u32      entries
//    16  u64      bytes of records after the header
//    24  u64      bytes of the blob (a multiple of 4096)
//    32  u64      bytes of the uncompressed tar
//    40  u64      extended attributes left out (namespaces Linux does not have)
//    48  u8[32]   SHA-256 of the uncompressed tar (the diff id)
//    80  u8[48]   zero
//   record, 64 bytes and then path, target, attributes, runs
//     0  u32 bytes of the whole record          4  u8 kind   5  u8 chunk bits   6  u16 mode (07777)
//     8  u32 uid   12  u32 gid                 16  i64 mtime seconds
//    24  u32 mtime nanoseconds                 28  u32 runs
//    32  u64 size of a file                    40  u64 offset in the blob
//    48  u32 device major   52  u32 minor      56  u16 path   58  u16 target   60  u16 attributes
//    62  u16 zero
//   attribute: u16 name length, u16 value length, name, value
//   run: u32 first chunk, u32 chunks: the chunks of a sparse file that have data, one after another
//        in the blob; what no run covers is a hole. Chunk size: 1 << chunk bits; 0: not sparse.
//
// The writer is used in the jail, by conversion. The reader takes hostile input: everything it
// returns has been checked against the bounds below; paths are relative, without empty, `.` or `..`
// components. Values; any thread. Errors: kCorrupt.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace msb::image {

inline constexpr uint32_t kIndexFormat = 1;
inline constexpr size_t kIndexHeaderSize = 128;
inline constexpr uint64_t kBlockSize = 4096;

// Limits of a layer. Real layers stay two orders of magnitude below.
inline constexpr uint32_t kMaxEntries = 2'000'000;
inline constexpr uint64_t kMaxIndexBytes = uint64_t{1} << 30;
inline constexpr size_t kMaxNameLength = 255;                 // of a component, as Linux has it
inline constexpr size_t kMaxPathLength = 4095;                // of an entry and of a link's target
inline constexpr size_t kMaxXattrValue = 65535;               // as Linux and EROFS have it
inline constexpr size_t kMaxXattrBytes = 131072;              // names and values of one entry
inline constexpr size_t kMaxXattrs = 512;                     // of one entry
inline constexpr uint32_t kMaxChunks = 65536;                 // of one sparse file
inline constexpr uint64_t kMaxFileSize = uint64_t{1} << 43;   // 8 TiB
inline constexpr uint64_t kMaxBlobBytes = uint64_t{1} << 40;  // 1 TiB
inline constexpr uint64_t kMaxExpandedBytes = uint64_t{1} << 36;  // 64 GiB of tar, by default

enum class EntryKind : uint8_t {
  kDirectory = 1,
  kFile = 2,
  kSymlink = 3,
  kHardLink = 4,  // target: the path of the file it is another name of
  kCharDevice = 5,
  kBlockDevice = 6,
  kFifo = 7,
  kWhiteout = 8,  // path: what is hidden of the layers below
  kOpaque = 9,    // path: the directory whose contents in the layers below are hidden
};

struct Xattr {
  std::string_view name;
  std::string_view value;
};

struct ChunkRun {
  uint32_t first;
  uint32_t count;
};

// The strings belong to the writer's caller or the reader's buffer.
struct Entry {
  EntryKind kind = EntryKind::kFile;
  std::string_view path;    // "usr/bin/env"; empty: the root directory
  std::string_view target;  // of symlinks and hard links
  uint16_t mode = 0;        // the twelve permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime_seconds = 0;
  uint32_t mtime_nanoseconds = 0;
  uint64_t size = 0;
  uint64_t blob_offset = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint8_t chunk_bits = 0;
  std::vector<Xattr> xattrs;
  std::vector<ChunkRun> runs;

  uint64_t StoredBytes() const;  // in the blob, padding included
};

struct IndexHeader {
  uint32_t entries = 0;
  uint64_t record_bytes = 0;
  uint64_t blob_bytes = 0;
  uint64_t tar_bytes = 0;
  uint64_t left_out_xattrs = 0;
  std::array<uint8_t, 32> diff_id = {};
};

inline uint64_t RoundUpToBlock(uint64_t bytes) {
  return (bytes + kBlockSize - 1) & ~(kBlockSize - 1);
}

// The rule for paths in an index: relative, at most kMaxPathLength, components of 1 to
// kMaxNameLength bytes that are not "." or "..", without NUL.
bool IsCleanPath(std::string_view path);

void AppendRecord(const Entry& entry, std::string& out);
std::string EncodeHeader(const IndexHeader& header);
base::Result<IndexHeader> DecodeHeader(std::string_view bytes);

// Reads the records of a whole index that stays in memory as long as entries are used.
class IndexReader {
 public:
  static base::Result<IndexReader> Open(std::string_view bytes);
  const IndexHeader& header() const { return header_; }
  base::Result<std::optional<Entry>> Next();  // nothing after the last

 private:
  IndexReader(IndexHeader header, std::string_view records)
      : header_(header), rest_(records), left_(header.entries) {}

  IndexHeader header_;
  std::string_view rest_;
  uint32_t left_;
};

}  // namespace msb::image
