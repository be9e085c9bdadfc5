#include "src/image/layer_index.h"

#include <cstring>

#include "src/base/bytes.h"
#include "src/image/little_endian.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr std::string_view kMagic = "MSBLAYER";
constexpr size_t kRecordSize = 64;

base::Error Corrupt(std::string_view what) {
  return Fail(ErrorCode::kCorrupt, "layer index: {}", what);
}

bool IsKnown(EntryKind kind) { return kind >= EntryKind::kDirectory && kind <= EntryKind::kOpaque; }

bool HasTarget(EntryKind kind) {
  return kind == EntryKind::kSymlink || kind == EntryKind::kHardLink;
}

bool MayBeRoot(EntryKind kind) {
  return kind == EntryKind::kDirectory || kind == EntryKind::kOpaque;
}

// Takes `length` bytes off the front of `rest`.
std::optional<std::string_view> Take(std::string_view& rest, size_t length) {
  if (rest.size() < length) return std::nullopt;
  const std::string_view taken = rest.substr(0, length);
  rest.remove_prefix(length);
  return taken;
}

struct Lengths {
  uint32_t runs;
  uint16_t path;
  uint16_t target;
  uint16_t xattrs;
};

Lengths DecodeFixed(const char* at, Entry& entry) {
  entry.kind = static_cast<EntryKind>(at[4]);
  entry.chunk_bits = static_cast<uint8_t>(at[5]);
  entry.mode = Load16(at + 6);
  entry.uid = Load32(at + 8);
  entry.gid = Load32(at + 12);
  entry.mtime_seconds = static_cast<int64_t>(Load64(at + 16));
  entry.mtime_nanoseconds = Load32(at + 24);
  entry.size = Load64(at + 32);
  entry.blob_offset = Load64(at + 40);
  entry.device_major = Load32(at + 48);
  entry.device_minor = Load32(at + 52);
  return {Load32(at + 28), Load16(at + 56), Load16(at + 58), Load16(at + 60)};
}

base::Status DecodeXattrs(std::string_view& rest, uint16_t count, Entry& entry) {
  if (count > kMaxXattrs) return Corrupt("too many attributes");
  size_t total = 0;
  for (uint16_t i = 0; i < count; ++i) {
    const auto lengths = Take(rest, 4);
    if (!lengths) return Corrupt("attribute cut short");
    const auto name = Take(rest, Load16(lengths->data()));
    const auto value = Take(rest, Load16(lengths->data() + 2));
    if (!name || !value || name->empty() || name->size() > kMaxNameLength) {
      return Corrupt("bad attribute");
    }
    total += name->size() + value->size();
    if (total > kMaxXattrBytes) return Corrupt("attributes too long");
    entry.xattrs.push_back({*name, *value});
  }
  return {};
}

base::Status DecodeRuns(std::string_view& rest, uint32_t count, Entry& entry) {
  if (entry.chunk_bits == 0) return count == 0 ? base::Status() : Corrupt("runs without chunks");
  if (entry.kind != EntryKind::kFile || entry.chunk_bits < 12 || entry.chunk_bits > 31) {
    return Corrupt("bad chunk size");
  }
  const uint64_t chunks = (entry.size + (uint64_t{1} << entry.chunk_bits) - 1) >> entry.chunk_bits;
  if (chunks > kMaxChunks || count > chunks) return Corrupt("too many chunks");
  uint64_t next = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const auto bytes = Take(rest, 8);
    if (!bytes) return Corrupt("runs cut short");
    const ChunkRun run = {Load32(bytes->data()), Load32(bytes->data() + 4)};
    if (run.count == 0 || run.first < next || uint64_t{run.first} + run.count > chunks) {
      return Corrupt("bad run");
    }
    next = uint64_t{run.first} + run.count;
    entry.runs.push_back(run);
  }
  return {};
}

base::Status CheckEntry(const Entry& entry, const IndexHeader& header) {
  if (!IsKnown(entry.kind)) return Corrupt("unknown kind of entry");
  if (entry.path.empty() ? !MayBeRoot(entry.kind) : !IsCleanPath(entry.path)) {
    return Corrupt("bad path");
  }
  if (HasTarget(entry.kind) == entry.target.empty()) return Corrupt("bad link target");
  if (entry.target.size() > kMaxPathLength || entry.target.find('\0') != std::string_view::npos) {
    return Corrupt("bad link target");
  }
  if (entry.kind == EntryKind::kHardLink && !IsCleanPath(entry.target)) {
    return Corrupt("bad link target");
  }
  if (entry.mode > 07777 || entry.mtime_nanoseconds >= 1'000'000'000)
    return Corrupt("bad metadata");
  if (entry.kind != EntryKind::kFile) {
    return entry.size == 0 && entry.blob_offset == 0 ? base::Status()
                                                     : Corrupt("contents without a file");
  }
  if (entry.size > kMaxFileSize || entry.blob_offset % kBlockSize != 0 ||
      entry.blob_offset > header.blob_bytes ||
      entry.StoredBytes() > header.blob_bytes - entry.blob_offset) {
    return Corrupt("contents beyond the blob");
  }
  return {};
}

}  // namespace

uint64_t Entry::StoredBytes() const {
  if (kind != EntryKind::kFile) return 0;
  if (chunk_bits == 0) return RoundUpToBlock(size);
  uint64_t bytes = 0;
  for (const ChunkRun& run : runs) bytes += uint64_t{run.count} << chunk_bits;
  // The last chunk ends with the file.
  if (!runs.empty()) {
    const uint64_t end = (uint64_t{runs.back().first} + runs.back().count) << chunk_bits;
    if (end > size) bytes -= end - RoundUpToBlock(size);
  }
  return bytes;
}

bool IsCleanPath(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathLength) return false;
  if (path.find('\0') != std::string_view::npos) return false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, end - at);
    if (component.empty() || component == "." || component == ".." ||
        component.size() > kMaxNameLength) {
      return false;
    }
    at = end + 1;
  }
  return true;
}

void AppendRecord(const Entry& entry, std::string& out) {
  const size_t start = out.size();
  out.resize(start + kRecordSize);
  char* at = out.data() + start;
  at[4] = static_cast<char>(entry.kind);
  at[5] = static_cast<char>(entry.chunk_bits);
  Store16(at + 6, entry.mode);
  Store32(at + 8, entry.uid);
  Store32(at + 12, entry.gid);
  Store64(at + 16, static_cast<uint64_t>(entry.mtime_seconds));
  Store32(at + 24, entry.mtime_nanoseconds);
  Store32(at + 28, static_cast<uint32_t>(entry.runs.size()));
  Store64(at + 32, entry.size);
  Store64(at + 40, entry.blob_offset);
  Store32(at + 48, entry.device_major);
  Store32(at + 52, entry.device_minor);
  Store16(at + 56, static_cast<uint16_t>(entry.path.size()));
  Store16(at + 58, static_cast<uint16_t>(entry.target.size()));
  Store16(at + 60, static_cast<uint16_t>(entry.xattrs.size()));
  out += entry.path;
  out += entry.target;
  char number[8];
  for (const Xattr& xattr : entry.xattrs) {
    Store16(number, static_cast<uint16_t>(xattr.name.size()));
    Store16(number + 2, static_cast<uint16_t>(xattr.value.size()));
    out.append(number, 4).append(xattr.name).append(xattr.value);
  }
  for (const ChunkRun& run : entry.runs) {
    Store32(number, run.first);
    Store32(number + 4, run.count);
    out.append(number, 8);
  }
  Store32(out.data() + start, static_cast<uint32_t>(out.size() - start));
}

std::string EncodeHeader(const IndexHeader& header) {
  std::string out(kIndexHeaderSize, '\0');
  char* at = out.data();
  std::memcpy(at, kMagic.data(), kMagic.size());
  Store32(at + 8, kIndexFormat);
  Store32(at + 12, header.entries);
  Store64(at + 16, header.record_bytes);
  Store64(at + 24, header.blob_bytes);
  Store64(at + 32, header.tar_bytes);
  Store64(at + 40, header.left_out_xattrs);
  std::memcpy(at + 48, header.diff_id.data(), header.diff_id.size());
  return out;
}

base::Result<IndexHeader> DecodeHeader(std::string_view bytes) {
  if (bytes.size() < kIndexHeaderSize || !bytes.starts_with(kMagic)) {
    return Corrupt("not a layer index");
  }
  const char* at = bytes.data();
  if (const uint32_t format = Load32(at + 8); format != kIndexFormat) {
    return Fail(ErrorCode::kUnsupported, "layer index: format {} (this version knows {})", format,
                kIndexFormat);
  }
  IndexHeader header;
  header.entries = Load32(at + 12);
  header.record_bytes = Load64(at + 16);
  header.blob_bytes = Load64(at + 24);
  header.tar_bytes = Load64(at + 32);
  header.left_out_xattrs = Load64(at + 40);
  std::memcpy(header.diff_id.data(), at + 48, header.diff_id.size());
  if (header.entries > kMaxEntries || header.record_bytes > kMaxIndexBytes ||
      header.blob_bytes > kMaxBlobBytes || header.blob_bytes % kBlockSize != 0) {
    return Corrupt("a number of the header is out of bounds");
  }
  return header;
}

base::Result<IndexReader> IndexReader::Open(std::string_view bytes) {
  const IndexHeader header = TRY(DecodeHeader(bytes));
  const std::string_view records = bytes.substr(kIndexHeaderSize);
  if (records.size() != header.record_bytes) return Corrupt("size does not match the header");
  return IndexReader(header, records);
}

base::Result<std::optional<Entry>> IndexReader::Next() {
  if (left_ == 0) {
    if (!rest_.empty()) return Corrupt("bytes after the last entry");
    return std::optional<Entry>();
  }
  if (rest_.size() < kRecordSize) return Corrupt("entry cut short");
  const uint32_t length = Load32(rest_.data());
  if (length < kRecordSize || length > rest_.size()) return Corrupt("entry cut short");
  std::string_view record = *Take(rest_, length);
  --left_;
  Entry entry;
  const Lengths lengths = DecodeFixed(record.data(), entry);
  record.remove_prefix(kRecordSize);
  const auto path = Take(record, lengths.path);
  const auto target = Take(record, lengths.target);
  if (!path || !target) return Corrupt("name cut short");
  entry.path = *path;
  entry.target = *target;
  TRY(DecodeXattrs(record, lengths.xattrs, entry));
  TRY(DecodeRuns(record, lengths.runs, entry));
  if (!record.empty()) return Corrupt("bytes after an entry");
  TRY(CheckEntry(entry, header_));
  return std::optional<Entry>(std::move(entry));
}

}  // namespace msb::image
