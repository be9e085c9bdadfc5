// What travels between a block driver and its device (virtio 1.2, sections 5.2.3 to 5.2.6). Little
// endian, as is every machine this runs on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace msb::virtio::block {

inline constexpr uint32_t kSectorBytes = 512;  // the unit of the protocol, whatever the block size

// Feature bits, section 5.2.3.
inline constexpr uint64_t kFeatureSegMax = 1ull << 2;
inline constexpr uint64_t kFeatureReadOnly = 1ull << 5;
inline constexpr uint64_t kFeatureTopology = 1ull << 10;
inline constexpr uint64_t kFeatureFlush = 1ull << 9;
inline constexpr uint64_t kFeatureDiscard = 1ull << 13;
inline constexpr uint64_t kFeatureWriteZeroes = 1ull << 14;

// Section 5.2.4.
struct [[gnu::packed]] Config {
  uint64_t capacity;  // in sectors
  uint32_t size_max;
  uint32_t seg_max;
  uint16_t cylinders;
  uint8_t heads;
  uint8_t sectors;
  uint32_t blk_size;
  uint8_t physical_block_exp;
  uint8_t alignment_offset;
  uint16_t min_io_size;
  uint32_t opt_io_size;
  uint8_t writeback;
  uint8_t unused0;
  uint16_t num_queues;
  uint32_t max_discard_sectors;
  uint32_t max_discard_seg;
  uint32_t discard_sector_alignment;
  uint32_t max_write_zeroes_sectors;
  uint32_t max_write_zeroes_seg;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
};
static_assert(sizeof(Config) == 60);

// Section 5.2.6.
enum class RequestType : uint32_t {
  kIn = 0,
  kOut = 1,
  kFlush = 4,
  kGetId = 8,
  kDiscard = 11,
  kWriteZeroes = 13,
};

struct RequestHeader {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
static_assert(sizeof(RequestHeader) == 16);

// One part of a discard or write-zeroes request.
struct RangeSegment {
  uint64_t sector;
  uint32_t sectors;
  uint32_t flags;
};
static_assert(sizeof(RangeSegment) == 16);
inline constexpr uint32_t kSegmentUnmap = 1;

inline constexpr size_t kIdBytes = 20;

enum class RequestStatus : uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };

}  // namespace msb::virtio::block
