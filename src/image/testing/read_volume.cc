#include <sys/stat.h>

#include <cstring>
#include <set>

#include "src/image/erofs_format.h"
#include "src/image/little_endian.h"
#include "src/image/testing/conversion.h"

namespace msb::image::testing {
namespace {

using base::ErrorCode;
using base::Fail;

base::Error Bad(std::string_view what) { return Fail(ErrorCode::kCorrupt, "volume: {}", what); }

constexpr uint64_t kMaxContent = 1 << 20;  // of one file; fuzzers make larger ones

class Reader {
 public:
  explicit Reader(std::string_view volume) : volume_(volume) {}

  base::Result<std::map<std::string, VolumeFile>> Run() {
    const std::string_view bytes = TRY(Bytes(erofs::kSuperOffset, sizeof super_));
    std::memcpy(&super_, bytes.data(), sizeof super_);
    if (super_.magic != erofs::kMagic || super_.block_bits != erofs::kBlockBits) {
      return Bad("no superblock");
    }
    TRY(Visit("", super_.root_nid, super_.root_nid, 0));
    if (super_.inodes != numbers_.size()) return Bad("wrong number of inodes");
    return std::move(files_);
  }

 private:
  base::Result<std::string_view> Bytes(uint64_t offset, uint64_t length) const {
    if (offset > volume_.size() || length > volume_.size() - offset) return Bad("out of bounds");
    return volume_.substr(offset, length);
  }

  base::Status Visit(const std::string& path, uint64_t nid, uint64_t parent, int depth) {
    const uint64_t at = nid << erofs::kSlotBits;
    const std::string_view bytes = TRY(Bytes(at, sizeof(erofs::Inode)));
    erofs::Inode inode;
    std::memcpy(&inode, bytes.data(), sizeof inode);
    if ((inode.format & 1) == 0) return Bad("a compact inode");
    VolumeFile file;
    file.inode = inode.number;
    file.mode = inode.mode;
    file.uid = inode.uid;
    file.gid = inode.gid;
    file.links = inode.links;
    file.mtime = static_cast<int64_t>(inode.mtime);
    file.mtime_nsec = inode.mtime_nsec;
    file.size = inode.size;
    const bool is_device = S_ISCHR(inode.mode) || S_ISBLK(inode.mode);
    if (is_device) file.device = inode.value;
    const uint64_t xattr_bytes =
        inode.xattr_count == 0 ? 0 : erofs::kXattrHeader + 4 * (inode.xattr_count - 1u);
    file.xattrs = TRY(ReadXattrs(at + sizeof inode, xattr_bytes));
    if (S_ISREG(inode.mode) || S_ISLNK(inode.mode) || S_ISDIR(inode.mode)) {
      file.content = TRY(ReadContent(inode, at + sizeof inode + xattr_bytes, file.hole_bytes));
    }
    numbers_.insert(inode.number);
    const std::string content = file.content;
    if (S_ISDIR(inode.mode)) file.content.clear();
    files_[path] = std::move(file);
    if (S_ISDIR(inode.mode)) TRY(ReadDirectory(path, content, nid, parent, depth));
    return {};
  }

  base::Result<std::string> ReadContent(const erofs::Inode& inode, uint64_t tail,
                                        uint64_t& hole_bytes) const {
    const auto layout = static_cast<erofs::Layout>(inode.format >> 1);
    if (layout == erofs::Layout::kChunkBased) return ReadChunks(inode, tail, hole_bytes);
    if (inode.size == 0) return std::string();
    const uint64_t start = uint64_t{inode.value} << erofs::kBlockBits;
    if (layout == erofs::Layout::kFlatPlain) {
      (void)TRY(Bytes(start, inode.size));
      return std::string(TRY(Bytes(start, std::min(inode.size, kMaxContent))));
    }
    if (layout != erofs::Layout::kFlatInline) return Bad("unknown layout");
    const uint64_t inline_bytes = inode.size % kBlockSize;
    if (tail / kBlockSize != (tail + inline_bytes - 1) / kBlockSize) {
      return Bad("inline data crosses a block");
    }
    std::string content;
    if (inode.size > inline_bytes) content = TRY(Bytes(start, inode.size - inline_bytes));
    return content.append(TRY(Bytes(tail, inline_bytes)));
  }

  base::Result<std::string> ReadChunks(const erofs::Inode& inode, uint64_t map,
                                       uint64_t& hole_bytes) const {
    if ((super_.feature_incompat & erofs::kIncompatChunkedFile) == 0) return Bad("no such feature");
    const uint64_t chunk = uint64_t{1} << ((inode.value & 0x1f) + erofs::kBlockBits);
    std::string content;
    for (uint64_t at = 0; at < inode.size; at += chunk, map += 4) {
      const uint32_t block = Load32(TRY(Bytes(map, 4)).data());
      const uint64_t length = std::min(chunk, inode.size - at);
      if (block == erofs::kNullBlock) {
        hole_bytes += length;
      } else {
        (void)TRY(Bytes(uint64_t{block} << erofs::kBlockBits, length));
      }
      if (content.size() + length > kMaxContent) continue;
      content += block == erofs::kNullBlock
                     ? std::string(length, '\0')
                     : std::string(TRY(Bytes(uint64_t{block} << erofs::kBlockBits, length)));
    }
    return content;
  }

  base::Result<std::map<std::string, std::string>> ReadXattrs(uint64_t at, uint64_t length) const {
    std::map<std::string, std::string> xattrs;
    if (length == 0) return xattrs;
    const uint64_t end = at + length;
    at += erofs::kXattrHeader;
    while (at < end) {
      const std::string_view header = TRY(Bytes(at, erofs::kXattrEntry));
      const uint64_t name = static_cast<uint8_t>(header[0]);
      const uint64_t value = Load16(header.data() + 2);
      const std::string key = fmt::format("{}:{}", static_cast<int>(header[1]),
                                          TRY(Bytes(at + erofs::kXattrEntry, name)));
      xattrs[key] = TRY(Bytes(at + erofs::kXattrEntry + name, value));
      at += (erofs::kXattrEntry + name + value + 3) & ~uint64_t{3};
    }
    if (at != end) return Bad("attributes do not fill their space");
    return xattrs;
  }

  base::Status ReadDirectory(const std::string& path, const std::string& content, uint64_t nid,
                             uint64_t parent, int depth) {
    if (depth > 4096) return Bad("too deep");
    std::string last;
    bool has_self = false;
    bool has_parent = false;
    for (size_t at = 0; at < content.size(); at += kBlockSize) {
      const std::string_view block = std::string_view(content).substr(at, kBlockSize);
      const size_t count = block.size() < 12 ? 0 : Load16(block.data() + 8) / 12u;
      if (count == 0 || count * 12 > block.size()) return Bad("bad directory block");
      for (size_t i = 0; i < count; ++i) {
        const char* entry = block.data() + i * 12;
        const size_t start = Load16(entry + 8);
        const size_t end = i + 1 < count ? Load16(entry + 20) : block.size();
        if (start >= end || end > block.size()) return Bad("bad directory entry");
        std::string name(block.substr(start, end - start));
        name.resize(std::min(name.find('\0'), name.size()));
        if (!last.empty() && last >= name) return Bad("names out of order");
        last = name;
        const uint64_t child = Load64(entry);
        if (name == ".") {
          has_self = child == nid;
        } else if (name == "..") {
          has_parent = child == parent;
        } else {
          TRY(Visit(path.empty() ? name : path + "/" + name, child, nid, depth + 1));
        }
      }
    }
    return has_self && has_parent ? base::Status() : Bad("no . or ..");
  }

  std::string_view volume_;
  erofs::SuperBlock super_;
  std::map<std::string, VolumeFile> files_;
  std::set<uint32_t> numbers_;
};

}  // namespace

base::Result<std::map<std::string, VolumeFile>> ReadVolume(std::string_view volume) {
  return Reader(volume).Run();
}

}  // namespace msb::image::testing
