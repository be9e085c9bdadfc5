// Tar reader: the members of a tar stream, with their metadata in one shape whatever the dialect
// (v7, ustar, PAX, GNU, star) and their contents in pieces.
//
// Written for layers, where names are bytes and must stay so: archive libraries convert names by
// locale and end them at a NUL. Where dialects leave room, the readers that registries use decide:
// links, devices and directories have no contents whatever their size says, and two blocks of
// zeroes or a clean end of data (after a block, or right after an entry's contents) end the
// archive.
//
// One thread; runs in the jail (and, in tests, outside). Takes hostile input; memory is bounded by
// the limits of layer_index.h and one extended header (1 MiB). Errors: kCorrupt, kUnsupported and
// kLimit, naming the member; those of the stream.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/image/tar_header.h"
#include "src/image/tar_stream.h"

namespace msb::image {

enum class MemberKind { kFile, kHardLink, kSymlink, kCharDevice, kBlockDevice, kDirectory, kFifo };

struct TarMember {
  MemberKind kind = MemberKind::kFile;
  std::string name;  // as in the archive: may be absolute, have "..", end in "/"
  std::string link;
  uint16_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  TarTime mtime;
  uint64_t size = 0;  // of the file, holes included
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
  // What of the file is in the archive; absent: all of it.
  std::optional<std::vector<SparseSegment>> sparse;
};

class TarReader {
 public:
  explicit TarReader(TarStream& stream) : stream_(stream) {}  // borrowed

  // The next member; nothing after the last. Skips what is left of the contents of the one before.
  base::Result<std::optional<TarMember>> Next();
  // The next piece of the member's stored contents (of a sparse file: of its segments, one after
  // another), at most `max` bytes; empty at their end.
  base::Result<std::string_view> Data(uint64_t max);

 private:
  struct Overrides {  // from the headers before a member
    PaxRecords pax;
    std::optional<std::string> gnu_name;
    std::optional<std::string> gnu_link;
  };

  base::Result<bool> ReadHeader();  // false at the end of the archive
  base::Result<std::string> ReadExtension(uint64_t size, uint64_t limit);
  base::Result<bool> TakeExtension(const TarHeader& header, uint64_t size, Overrides& out);
  base::Status ReadGlobal(uint64_t size);
  base::Result<TarMember> Build(const TarHeader& header, Overrides overrides);
  base::Status FillMetadata(const TarHeader& header, const PaxRecords& pax, TarMember& member);
  base::Status FillSparse(const TarHeader& header, const PaxRecords& pax, TarMember& member);
  base::Result<std::vector<uint64_t>> ReadOldSparse(const TarHeader& header);
  base::Result<std::vector<uint64_t>> ReadSparseMap();

  TarStream& stream_;
  std::array<char, kTarBlock> block_;
  PaxRecords global_;
  uint64_t data_left_ = 0;     // of the current member's contents
  uint64_t padding_left_ = 0;  // to the next header
};

}  // namespace msb::image
