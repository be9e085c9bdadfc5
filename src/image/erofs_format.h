// EROFS on disk, as far as we write it: Linux, Documentation/filesystems/erofs.rst and
// fs/erofs/erofs_fs.h. Little endian throughout.
#pragma once

#include <cstddef>
#include <cstdint>

namespace msb::image::erofs {

inline constexpr uint32_t kMagic = 0xe0f5e1e2;
inline constexpr uint64_t kSuperOffset = 1024;
inline constexpr uint32_t kBlockBits = 12;
inline constexpr uint32_t kCompatChecksum = 0x1;
inline constexpr uint32_t kCompatMtime = 0x2;
inline constexpr uint32_t kIncompatChunkedFile = 0x4;
inline constexpr uint32_t kNullBlock = 0xffffffff;
inline constexpr uint32_t kSlotBits = 5;  // inodes stand at multiples of 32 bytes: the nid

struct SuperBlock {
  uint32_t magic;
  uint32_t checksum;  // crc32c from here's superblock to the end of its block, this field zero
  uint32_t feature_compat;
  uint8_t block_bits;
  uint8_t extra_slots;
  uint16_t root_nid;
  uint64_t inodes;
  uint64_t build_time;
  uint32_t build_time_nsec;
  uint32_t blocks;
  uint32_t meta_block;
  uint32_t xattr_block;
  uint8_t uuid[16];
  uint8_t volume_name[16];
  uint32_t feature_incompat;
  uint16_t compression;
  uint16_t extra_devices;
  uint16_t device_table_slot;
  uint8_t directory_block_bits;
  uint8_t xattr_prefix_count;
  uint32_t xattr_prefix_start;
  uint64_t packed_nid;
  uint8_t reserved[24];
} __attribute__((packed));
static_assert(sizeof(SuperBlock) == 128);

enum class Layout : uint16_t { kFlatPlain = 0, kFlatInline = 2, kChunkBased = 4 };

struct Inode {           // the extended form
  uint16_t format;       // 1 (extended) | layout << 1
  uint16_t xattr_count;  // 0, or (bytes - 12) / 4 + 1
  uint16_t mode;
  uint16_t reserved;
  uint64_t size;
  uint32_t value;  // first block, device number, or chunk bits above the block's
  uint32_t number;
  uint32_t uid;
  uint32_t gid;
  uint64_t mtime;
  uint32_t mtime_nsec;
  uint32_t links;
  uint8_t reserved2[16];
} __attribute__((packed));
static_assert(sizeof(Inode) == 64);

// Attributes stand after the inode: a header, then entries padded to 4 bytes.
inline constexpr size_t kXattrHeader = 12;
inline constexpr size_t kXattrEntry = 4;  // u8 name length, u8 namespace, u16 value length

struct DirectoryEntry {
  uint64_t nid;
  uint16_t name_offset;  // in the block; names follow the block's entries
  uint8_t file_type;
  uint8_t reserved;
} __attribute__((packed));
static_assert(sizeof(DirectoryEntry) == 12);

}  // namespace msb::image::erofs
