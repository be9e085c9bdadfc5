#include "src/image/layer_convert.h"

#include <algorithm>
#include <memory>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/image/buffered_file.h"
#include "src/image/byte_source.h"
#include "src/image/sha256.h"
#include "src/image/tar_reader.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";
constexpr std::string_view kAufsPrefix = ".wh..wh.";  // bookkeeping of aufs, which nobody wants
constexpr std::string_view kKnownNamespaces[] = {"user.", "trusted.", "security."};
constexpr std::string_view kAclXattrs[] = {"system.posix_acl_access", "system.posix_acl_default"};

base::Error EntryError(ErrorCode code, std::string_view name, std::string_view what) {
  return Fail(code, "entry '{}': {}", base::EscapeForTerminal(name.substr(0, 200)), what);
}

// The path as an index has it; empty for the root.
base::Result<std::string> CleanPath(std::string_view entry, std::string_view path) {
  std::string out;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, end - at);
    at = end + 1;
    if (component.empty() || component == ".") continue;
    if (component == "..") {
      return EntryError(ErrorCode::kInvalid, entry, "a name with '..' would leave the image");
    }
    if (component.size() > kMaxNameLength) {
      return EntryError(ErrorCode::kLimit, entry, "a name longer than 255 bytes");
    }
    if (!out.empty()) out += '/';
    out += component;
  }
  if (out.size() > kMaxPathLength) {
    return EntryError(ErrorCode::kLimit, entry, "a path longer than 4095 bytes");
  }
  return out;
}

// Linux takes only some namespaces; tar and other unpackers leave the others out as well.
bool CanBeStored(std::string_view xattr) {
  return std::ranges::any_of(kKnownNamespaces,
                             [&](std::string_view prefix) {
                               return xattr.starts_with(prefix) && xattr.size() > prefix.size();
                             }) ||
         std::ranges::find(kAclXattrs, xattr) != std::end(kAclXattrs);
}

// Chunks small enough to keep holes, large enough that a file has at most kMaxChunks.
uint8_t ChunkBitsFor(uint64_t size) {
  uint8_t bits = 12;
  while ((size >> bits) >= kMaxChunks) ++bits;
  return bits;
}

// The chunks that segments touch.
std::vector<ChunkRun> RunsOf(const std::vector<SparseSegment>& segments, uint8_t bits) {
  std::vector<ChunkRun> runs;
  for (const SparseSegment& segment : segments) {
    const auto first = static_cast<uint32_t>(segment.offset >> bits);
    const auto end = static_cast<uint32_t>((segment.offset + segment.length - 1) >> bits) + 1;
    if (!runs.empty() && runs.back().first + runs.back().count >= first) {
      runs.back().count = std::max(runs.back().count, end - runs.back().first);
    } else {
      runs.push_back({first, end - first});
    }
  }
  return runs;
}

class Converter {
 public:
  Converter(TarReader& tar, int blob_fd, int index_fd, const LayerLimits& limits)
      : tar_(tar), limits_(limits), blob_(blob_fd), index_(index_fd) {}

  base::Result<IndexHeader> Run() {
    TRY(index_.AppendZeroes(kIndexHeaderSize));  // written once everything is known
    while (const auto member = TRY(tar_.Next())) TRY(Convert(*member));
    TRY(blob_.Flush());
    TRY(index_.Flush());
    header_.record_bytes = index_.size() - kIndexHeaderSize;
    header_.blob_bytes = blob_.size();
    return header_;
  }

 private:
  base::Status Convert(const TarMember& member) {
    const std::string path = TRY(CleanPath(member.name, member.name));
    const size_t slash = path.rfind('/');
    const std::string_view name =
        std::string_view(path).substr(slash == std::string::npos ? 0 : slash + 1);
    const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
    if (name.starts_with(kWhiteoutPrefix)) return ConvertWhiteout(member.name, parent, name);
    if (path.empty() && member.kind != MemberKind::kDirectory) {
      return EntryError(
          ErrorCode::kInvalid, member.name,
          member.name.empty() ? "an entry without a name" : "the image's root is not a directory");
    }
    return ConvertEntry(member, path);
  }

  base::Status ConvertWhiteout(std::string_view entry, const std::string& parent,
                               std::string_view name) {
    Entry record;
    if (name == kOpaqueName) {
      record.kind = EntryKind::kOpaque;
      record.path = parent;
      return Write(record);
    }
    if (name.starts_with(kAufsPrefix)) return {};
    const std::string_view hidden = name.substr(kWhiteoutPrefix.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return EntryError(ErrorCode::kInvalid, entry, "a whiteout of nothing");
    }
    const std::string path =
        parent.empty() ? std::string(hidden) : fmt::format("{}/{}", parent, hidden);
    record.kind = EntryKind::kWhiteout;
    record.path = path;
    return Write(record);
  }

  base::Status ConvertEntry(const TarMember& member, const std::string& path) {
    Entry record;
    record.path = path;
    record.mode = member.mode;
    record.uid = member.uid;
    record.gid = member.gid;
    record.mtime_seconds = member.mtime.seconds;
    record.mtime_nanoseconds = member.mtime.nanoseconds;
    record.device_major = member.device_major;
    record.device_minor = member.device_minor;
    TRY(TakeXattrs(member, record));
    std::string hard_link;
    switch (member.kind) {
      case MemberKind::kDirectory:
        record.kind = EntryKind::kDirectory;
        break;
      case MemberKind::kCharDevice:
        record.kind = EntryKind::kCharDevice;
        break;
      case MemberKind::kBlockDevice:
        record.kind = EntryKind::kBlockDevice;
        break;
      case MemberKind::kFifo:
        record.kind = EntryKind::kFifo;
        break;
      case MemberKind::kSymlink:
        record.kind = EntryKind::kSymlink;
        record.target = member.link;
        if (member.link.empty()) {
          return EntryError(ErrorCode::kInvalid, member.name, "a link without a target");
        }
        if (member.link.size() > kMaxPathLength) {
          return EntryError(ErrorCode::kLimit, member.name, "a link longer than 4095 bytes");
        }
        break;
      case MemberKind::kHardLink:
        record.kind = EntryKind::kHardLink;
        hard_link = TRY(CleanPath(member.name, member.link));
        record.target = hard_link;
        record.xattrs.clear();  // they are the file's
        if (hard_link.empty()) {
          return EntryError(ErrorCode::kInvalid, member.name, "a hard link to no file");
        }
        break;
      case MemberKind::kFile:
        record.kind = EntryKind::kFile;
        TRY(CopyContents(member, record));
        break;
    }
    return Write(record);
  }

  base::Status TakeXattrs(const TarMember& member, Entry& record) {
    size_t total = 0;
    for (const auto& [name, value] : member.xattrs) {
      if (!CanBeStored(name)) {
        ++header_.left_out_xattrs;
        continue;
      }
      total += name.size() + value.size();
      if (name.size() > kMaxNameLength || value.size() > kMaxXattrValue || total > kMaxXattrBytes) {
        return EntryError(
            ErrorCode::kLimit, member.name,
            fmt::format("extended attribute '{}' is too long",
                        base::EscapeForTerminal(std::string_view(name).substr(0, 100))));
      }
      record.xattrs.push_back({name, value});
    }
    return {};
  }

  base::Status CopyContents(const TarMember& member, Entry& record) {
    record.size = member.size;
    record.blob_offset = blob_.size();
    if (member.sparse) {
      record.chunk_bits = ChunkBitsFor(member.size);
      record.runs = RunsOf(*member.sparse, record.chunk_bits);
      if (record.StoredBytes() >
          limits_.max_tar_bytes - std::min(blob_.size(), limits_.max_tar_bytes)) {
        return EntryError(ErrorCode::kLimit, member.name, "a sparse file with too much data");
      }
      TRY(CopySparse(*member.sparse, record));
    } else {
      TRY(CopyData(member.size));
    }
    return blob_.AppendZeroes(RoundUpToBlock(blob_.size()) - blob_.size());
  }

  base::Status CopyData(uint64_t length) {
    while (length > 0) {
      const std::string_view piece = TRY(tar_.Data(length));
      if (piece.empty()) return Fail(ErrorCode::kCorrupt, "the tar is cut short");
      TRY(blob_.Append(piece));
      length -= piece.size();
    }
    return {};
  }

  // Segments in order, the rest of the chunks they touch filled with zeroes.
  base::Status CopySparse(const std::vector<SparseSegment>& segments, const Entry& record) {
    auto segment = segments.begin();
    for (const ChunkRun& run : record.runs) {
      uint64_t at = uint64_t{run.first} << record.chunk_bits;
      const uint64_t run_end = std::min((uint64_t{run.first} + run.count) << record.chunk_bits,
                                        RoundUpToBlock(record.size));
      for (; segment != segments.end() && segment->offset < run_end; ++segment) {
        TRY(blob_.AppendZeroes(segment->offset - at));
        TRY(CopyData(segment->length));
        at = segment->offset + segment->length;
      }
      TRY(blob_.AppendZeroes(run_end - at));
    }
    return {};
  }

  base::Status Write(const Entry& record) {
    if (++header_.entries > limits_.max_entries) {
      return Fail(ErrorCode::kLimit, "more than {} entries", limits_.max_entries);
    }
    record_.clear();
    AppendRecord(record, record_);
    if (index_.size() + record_.size() > kMaxIndexBytes) {
      return Fail(ErrorCode::kLimit, "the entries' metadata is larger than {} MiB",
                  kMaxIndexBytes >> 20);
    }
    return index_.Append(record_);
  }

  TarReader& tar_;
  const LayerLimits& limits_;
  BufferedFile blob_;
  BufferedFile index_;
  IndexHeader header_;
  std::string record_;
};

// The decompressed tar with a running hash: the layer's diff id.
class HashingSource : public ByteSource {
 public:
  explicit HashingSource(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}
  base::Result<std::string_view> Next() override {
    const std::string_view piece = TRY(source_->Next());
    hash_.Update(piece);
    return piece;
  }
  uint64_t consumed() const override { return source_->consumed(); }
  Sha256Sum Hash() { return hash_.Finish(); }  // once, at the end

 private:
  std::unique_ptr<ByteSource> source_;
  Sha256 hash_;
};

}  // namespace

base::Status ConvertLayer(int source_fd, int blob_fd, int index_fd, const LayerLimits& limits) {
  HashingSource source(TRY(OpenSource(source_fd)));
  TarStream stream(source, limits.max_tar_bytes);
  TarReader tar(stream);
  Converter converter(tar, blob_fd, index_fd, limits);
  IndexHeader header = TRY(converter.Run());
  TRY(stream.Drain());  // what follows the end of the tar is part of the digest
  header.tar_bytes = stream.position();
  header.diff_id = source.Hash();
  if (header.tar_bytes == 0) return Fail(ErrorCode::kCorrupt, "not a tar archive: it is empty");
  const std::string encoded = EncodeHeader(header);
  return base::PwriteFull(index_fd, std::as_bytes(std::span(encoded)), 0);
}

}  // namespace msb::image
