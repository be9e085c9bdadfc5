// Two passes over the inodes: the first decides where each one stands (inode numbers, inline or
// not, blocks of directories), the second writes them in that order, so that the file is written
// front to back. Only the superblock, whose checksum covers its whole block, is written last.
#include "src/image/erofs_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "src/base/sys.h"
#include "src/image/buffered_file.h"
#include "src/image/erofs_format.h"
#include "src/image/little_endian.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using erofs::Layout;

constexpr uint64_t kFirstInode = erofs::kSuperOffset + sizeof(erofs::SuperBlock);

uint32_t Crc32c(std::string_view data) {
  uint32_t crc = ~uint32_t{0};
  for (const char c : data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
  }
  return crc;  // EROFS leaves out the final inversion
}

uint64_t BlocksOf(uint64_t bytes) { return RoundUpToBlock(bytes) >> erofs::kBlockBits; }

uint8_t FileType(EntryKind kind) {  // FT_* of the kernel
  switch (kind) {
    case EntryKind::kFile:
      return 1;
    case EntryKind::kDirectory:
      return 2;
    case EntryKind::kCharDevice:
      return 3;
    case EntryKind::kBlockDevice:
      return 4;
    case EntryKind::kFifo:
      return 5;
    case EntryKind::kSymlink:
      return 7;
    default:
      return 0;
  }
}

uint16_t FileMode(EntryKind kind) {
  switch (kind) {
    case EntryKind::kFile:
      return S_IFREG;
    case EntryKind::kDirectory:
      return S_IFDIR;
    case EntryKind::kCharDevice:
      return S_IFCHR;
    case EntryKind::kBlockDevice:
      return S_IFBLK;
    case EntryKind::kFifo:
      return S_IFIFO;
    default:
      return S_IFLNK;
  }
}

struct XattrName {
  uint8_t space;
  std::string suffix;
};

// Overlayfs reads its own attributes from lower layers; those of an image are escaped, as it
// escapes them itself.
XattrName Split(std::string_view name) {
  constexpr std::pair<std::string_view, uint8_t> kPrefixes[] = {
      {"user.", 1}, {"trusted.", 4}, {"security.", 6}};
  if (name == "system.posix_acl_access") return {2, ""};
  if (name == "system.posix_acl_default") return {3, ""};
  for (const auto& [prefix, space] : kPrefixes) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view suffix = name.substr(prefix.size());
    const bool escape = name.starts_with("trusted.overlay.");
    return {space, (escape ? "overlay." : "") + std::string(suffix)};
  }
  return {0, ""};  // no such namespace in Linux: left out
}

std::string EncodeXattrs(const std::vector<Xattr>& xattrs) {
  std::string out;
  for (const Xattr& xattr : xattrs) {
    const XattrName name = Split(xattr.name);
    if (name.space == 0 || name.suffix.size() > 255) continue;
    if (out.empty()) out.resize(erofs::kXattrHeader);
    char header[erofs::kXattrEntry] = {static_cast<char>(name.suffix.size()),
                                       static_cast<char>(name.space)};
    Store16(header + 2, static_cast<uint16_t>(xattr.value.size()));
    out.append(header, sizeof header).append(name.suffix).append(xattr.value);
    out.resize((out.size() + 3) & ~size_t{3});
  }
  return out;
}

uint32_t DeviceNumber(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~0xffu) << 12;
}

// Where an inode stands and what belongs to it.
struct Placed {
  Tree::Id id = 0;
  uint64_t offset = 0;  // in the volume
  uint32_t links = 0;
  Layout layout = Layout::kFlatPlain;
  uint32_t xattr_bytes = 0;
  uint64_t size = 0;         // of directories and links
  uint64_t first_block = 0;  // of directories and links with blocks of their own
};

class Writer {
 public:
  Writer(const Tree& tree, std::span<const uint64_t> blob_bytes, int fd)
      : tree_(tree), blob_bytes_(blob_bytes), fd_(fd), file_(fd) {}

  base::Status Write(const VolumeUuid& uuid) {
    Collect();
    TRY(PlaceAll());
    TRY(file_.AppendZeroes(kFirstInode));
    for (const Placed& inode : inodes_) TRY(WriteInode(inode));
    TRY(PadTo(first_data_block_ << erofs::kBlockBits));
    for (const Placed& inode : inodes_) TRY(WriteOwnBlocks(inode));
    CHECK(file_.size() == metadata_blocks_ << erofs::kBlockBits);
    TRY(file_.Flush());
    return WriteSuperBlock(uuid);
  }

 private:
  using Names = std::vector<std::pair<std::string_view, Tree::Id>>;

  // Breadth first, so that the root is the first and directories are near their entries.
  void Collect() {
    position_.assign(tree_.size(), 0);
    Visit(Tree::kRoot);
    for (size_t i = 0; i < inodes_.size(); ++i) {
      const Tree::Directory* directory = tree_.node(inodes_[i].id).directory.get();
      if (directory == nullptr) continue;
      inodes_[i].links += 1;  // "."; the name in the parent is the other
      for (const auto& [name, child] : directory->children) {
        Visit(child);
        if (tree_.node(child).directory != nullptr) inodes_[i].links += 1;  // its ".."
      }
    }
  }

  void Visit(Tree::Id id) {
    if (position_[id] == 0) {
      inodes_.push_back({.id = id});
      position_[id] = static_cast<uint32_t>(inodes_.size());
    }
    inodes_[position_[id] - 1].links += 1;
  }

  const Placed& PlacedOf(Tree::Id id) const { return inodes_[position_[id] - 1]; }

  Names NamesIn(const Placed& inode) const {
    const Tree::Directory& directory = *tree_.node(inode.id).directory;
    Names names = {{".", inode.id}, {"..", directory.parent}};
    names.insert(names.end(), directory.children.begin(), directory.children.end());
    std::ranges::sort(names, {}, &Names::value_type::first);
    return names;
  }

  // Calls `block(first, end, bytes)` for the names of each block of a directory.
  template <typename Block>
  static void ForEachBlock(const Names& names, Block block) {
    size_t first = 0;
    uint64_t used = 0;
    for (size_t i = 0; i < names.size(); ++i) {
      const uint64_t need = sizeof(erofs::DirectoryEntry) + names[i].first.size();
      if (used + need > kBlockSize) {
        block(first, i, used);
        first = i;
        used = 0;
      }
      used += need;
    }
    block(first, names.size(), used);
  }

  base::Status PlaceAll() {
    uint64_t at = kFirstInode;
    uint64_t blocks = 0;  // of directories and links, counted from first_data_block_
    for (Placed& inode : inodes_) {
      const Entry& entry = tree_.node(inode.id).entry;
      inode.xattr_bytes = static_cast<uint32_t>(EncodeXattrs(entry.xattrs).size());
      const uint64_t head = sizeof(erofs::Inode) + inode.xattr_bytes;
      uint64_t tail = 0;  // behind the head
      uint64_t own_blocks = 0;
      if (entry.kind == EntryKind::kDirectory || entry.kind == EntryKind::kSymlink) {
        tail = PlaceContents(inode, head, own_blocks);
      } else if (entry.chunk_bits != 0) {
        inode.layout = Layout::kChunkBased;
        tail = 4 * ChunksOf(entry);
      }
      at = Align(at, head, inode.layout == Layout::kFlatInline ? tail : 0);
      inode.offset = at;
      inode.first_block = blocks;
      blocks += own_blocks;
      at += head + tail;
    }
    first_data_block_ = BlocksOf(at);
    metadata_blocks_ = first_data_block_ + blocks;
    uint64_t next = metadata_blocks_;
    for (const uint64_t bytes : blob_bytes_) {
      blob_blocks_.push_back(next);
      next += BlocksOf(bytes);
    }
    total_blocks_ = next;
    if (total_blocks_ >= erofs::kNullBlock) {
      return Fail(ErrorCode::kLimit, "the image is larger than 16 TiB");
    }
    return {};
  }

  // Decides between inline and blocks; returns the bytes that go inline.
  uint64_t PlaceContents(Placed& inode, uint64_t head, uint64_t& own_blocks) const {
    const Entry& entry = tree_.node(inode.id).entry;
    uint64_t full_blocks = 0;
    uint64_t tail = entry.target.size();
    if (entry.kind == EntryKind::kDirectory) {
      ForEachBlock(NamesIn(inode), [&](size_t, size_t, uint64_t bytes) {
        ++full_blocks;
        tail = bytes;
      });
      --full_blocks;
    }
    inode.size = full_blocks * kBlockSize + tail;
    const bool fits = head + tail <= kBlockSize;
    inode.layout = fits ? Layout::kFlatInline : Layout::kFlatPlain;
    own_blocks = fits ? full_blocks : full_blocks + 1;
    return fits ? tail : 0;
  }

  // The next slot where the inode itself, and its inline contents, do not cross a block.
  static uint64_t Align(uint64_t at, uint64_t head, uint64_t inline_bytes) {
    at = (at + 31) & ~uint64_t{31};
    const auto in_block = [](uint64_t offset) { return offset % kBlockSize; };
    const bool splits_inode = in_block(at) + sizeof(erofs::Inode) > kBlockSize;
    const bool splits_inline = inline_bytes > 0 && in_block(at) + head + inline_bytes > kBlockSize;
    return splits_inode || splits_inline ? RoundUpToBlock(at) : at;
  }

  static uint64_t ChunksOf(const Entry& entry) {
    return (entry.size + (uint64_t{1} << entry.chunk_bits) - 1) >> entry.chunk_bits;
  }

  base::Status PadTo(uint64_t offset) { return file_.AppendZeroes(offset - file_.size()); }

  base::Status WriteInode(const Placed& placed) {
    const Tree::Node& node = tree_.node(placed.id);
    const Entry& entry = node.entry;
    TRY(PadTo(placed.offset));
    erofs::Inode inode = {};
    inode.format = static_cast<uint16_t>(1 | static_cast<uint16_t>(placed.layout) << 1);
    if (placed.xattr_bytes > 0) {
      inode.xattr_count = static_cast<uint16_t>((placed.xattr_bytes - erofs::kXattrHeader) / 4 + 1);
    }
    // Links have no permissions of their own, whatever an archive says.
    const uint16_t permissions = entry.kind == EntryKind::kSymlink ? 0777 : entry.mode;
    inode.mode = FileMode(entry.kind) | permissions;
    inode.size = entry.kind == EntryKind::kFile ? entry.size : placed.size;
    inode.value = ValueOf(placed, node);
    inode.number = position_[placed.id];
    inode.uid = entry.uid;
    inode.gid = entry.gid;
    inode.mtime = static_cast<uint64_t>(entry.mtime_seconds);
    inode.mtime_nsec = entry.mtime_nanoseconds;
    inode.links = placed.links;
    TRY(file_.Append({reinterpret_cast<const char*>(&inode), sizeof inode}));
    TRY(file_.Append(EncodeXattrs(entry.xattrs)));
    if (placed.layout == Layout::kChunkBased) return WriteChunks(node);
    if (placed.layout != Layout::kFlatInline) return {};
    if (entry.kind == EntryKind::kSymlink) return file_.Append(entry.target);
    return WriteDirectory(placed, placed.size / kBlockSize, true);
  }

  uint32_t ValueOf(const Placed& placed, const Tree::Node& node) const {
    const Entry& entry = node.entry;
    if (entry.kind == EntryKind::kCharDevice || entry.kind == EntryKind::kBlockDevice) {
      return DeviceNumber(entry.device_major, entry.device_minor);
    }
    if (placed.layout == Layout::kChunkBased) return entry.chunk_bits - erofs::kBlockBits;
    if (entry.kind == EntryKind::kFile) {
      return entry.size == 0 ? erofs::kNullBlock
                             : static_cast<uint32_t>(BlobBlock(node, entry.blob_offset));
    }
    const bool has_blocks = placed.layout == Layout::kFlatPlain || placed.size > kBlockSize;
    return has_blocks ? static_cast<uint32_t>(first_data_block_ + placed.first_block) : 0;
  }

  uint64_t BlobBlock(const Tree::Node& node, uint64_t offset) const {
    return blob_blocks_[node.layer] + (offset >> erofs::kBlockBits);
  }

  base::Status WriteChunks(const Tree::Node& node) {
    const Entry& entry = node.entry;
    std::string map(4 * ChunksOf(entry), '\xff');  // kNullBlock: a hole
    uint64_t offset = entry.blob_offset;
    for (const ChunkRun& run : entry.runs) {
      for (uint32_t i = 0; i < run.count; ++i) {
        Store32(map.data() + 4 * (size_t{run.first} + i),
                static_cast<uint32_t>(BlobBlock(node, offset)));
        offset += uint64_t{1} << entry.chunk_bits;
      }
    }
    return file_.Append(map);
  }

  base::Status WriteOwnBlocks(const Placed& placed) {
    const Entry& entry = tree_.node(placed.id).entry;
    const bool is_plain = placed.layout == Layout::kFlatPlain;
    if (entry.kind == EntryKind::kDirectory) {
      const uint64_t full_blocks = placed.size / kBlockSize;
      if (full_blocks > 0) TRY(WriteDirectory(placed, full_blocks, false));
      if (is_plain) TRY(WriteDirectory(placed, full_blocks, true));
    } else if (entry.kind == EntryKind::kSymlink && is_plain) {
      TRY(file_.Append(entry.target));
    }
    return PadTo(RoundUpToBlock(file_.size()));
  }

  // Either the first `full_blocks` blocks of a directory, or what comes after them.
  base::Status WriteDirectory(const Placed& placed, uint64_t full_blocks, bool tail) {
    const Names names = NamesIn(placed);
    base::Status status;
    uint64_t block = 0;
    ForEachBlock(names, [&](size_t first, size_t end, uint64_t) {
      if (!status || (block++ >= full_blocks) != tail) return;
      status = file_.Append(EncodeBlock(std::span(names).subspan(first, end - first)));
      if (status && !tail) status = PadTo(RoundUpToBlock(file_.size()));
    });
    return status;
  }

  std::string EncodeBlock(std::span<const Names::value_type> names) const {
    std::string out(names.size() * sizeof(erofs::DirectoryEntry), '\0');
    for (size_t i = 0; i < names.size(); ++i) {
      erofs::DirectoryEntry entry = {};
      entry.nid = PlacedOf(names[i].second).offset >> erofs::kSlotBits;
      entry.name_offset = static_cast<uint16_t>(out.size());
      entry.file_type = FileType(tree_.node(names[i].second).entry.kind);
      std::memcpy(out.data() + i * sizeof entry, &entry, sizeof entry);
      out += names[i].first;
    }
    return out;
  }

  base::Status WriteSuperBlock(const VolumeUuid& uuid) {
    erofs::SuperBlock super = {};
    super.magic = erofs::kMagic;
    super.feature_compat = erofs::kCompatChecksum | erofs::kCompatMtime;
    super.block_bits = erofs::kBlockBits;
    super.root_nid = static_cast<uint16_t>(inodes_[0].offset >> erofs::kSlotBits);
    super.inodes = inodes_.size();
    super.blocks = static_cast<uint32_t>(total_blocks_);
    std::memcpy(super.uuid, uuid.data(), uuid.size());
    const bool chunked = std::ranges::any_of(
        inodes_, [](const Placed& inode) { return inode.layout == Layout::kChunkBased; });
    super.feature_incompat = chunked ? erofs::kIncompatChunkedFile : 0;

    std::string block(kBlockSize - erofs::kSuperOffset, '\0');
    TRY(base::PreadFull(fd_, std::as_writable_bytes(std::span(block)), erofs::kSuperOffset));
    std::memcpy(block.data(), &super, sizeof super);
    super.checksum = Crc32c(block);
    return base::PwriteFull(fd_, std::as_bytes(std::span(&super, 1)), erofs::kSuperOffset);
  }

  const Tree& tree_;
  std::span<const uint64_t> blob_bytes_;
  int fd_;
  BufferedFile file_;
  std::vector<Placed> inodes_;
  std::vector<uint32_t> position_;  // of a node in inodes_, from 1; 0: not reached
  uint64_t first_data_block_ = 0;
  uint64_t metadata_blocks_ = 0;
  uint64_t total_blocks_ = 0;
  std::vector<uint64_t> blob_blocks_;  // where each layer's blob starts
};

}  // namespace

base::Status WriteErofs(const Tree& tree, std::span<const uint64_t> blob_bytes,
                        const VolumeUuid& uuid, int metadata_fd) {
  return Writer(tree, blob_bytes, metadata_fd).Write(uuid);
}

}  // namespace msb::image
