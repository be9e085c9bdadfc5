// What travels on a vhost-user socket (the vhost-user protocol as QEMU's documentation describes
// it, "Vhost-user Protocol"), limited to what User-Mode Linux says as a front end. Little endian.
#pragma once

#include <cstddef>
#include <cstdint>

namespace msb::vmm::uml {

enum class Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kSetVringEnable = 18,
  kGetConfig = 24,
  kSetConfig = 25,
};

struct MessageHeader {
  uint32_t request;
  uint32_t flags;
  uint32_t size;  // of the payload
};
static_assert(sizeof(MessageHeader) == 12);

inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kVersionMask = 3;
inline constexpr uint32_t kFlagReply = 1 << 2;

// A device feature: the protocol has features of its own.
inline constexpr uint64_t kFeatureProtocolFeatures = 1ull << 30;
inline constexpr uint64_t kProtocolConfig = 1ull << 9;

inline constexpr uint32_t kMaxConfigBytes = 256;

struct MemoryRegion {
  uint64_t guest_address;
  uint64_t size;
  uint64_t user_address;
  uint64_t file_offset;
};

struct MemoryTable {  // with its one region
  uint32_t count;
  uint32_t padding;
  MemoryRegion region;
};
static_assert(sizeof(MemoryTable) == 40);

struct VringState {
  uint32_t index;
  uint32_t value;
};

struct VringAddress {
  uint32_t index;
  uint32_t flags;
  uint64_t descriptors;
  uint64_t used;
  uint64_t available;
  uint64_t log;
};
static_assert(sizeof(VringAddress) == 40);

struct ConfigHeader {  // `size` bytes follow
  uint32_t offset;
  uint32_t size;
  uint32_t flags;
};

inline constexpr uint64_t kVringIndexMask = 0xff;
inline constexpr uint64_t kVringNoDescriptor = 1 << 8;

inline constexpr size_t kMaxPayload = sizeof(ConfigHeader) + kMaxConfigBytes;

}  // namespace msb::vmm::uml
