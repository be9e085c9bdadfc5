// What travels between a vsock driver and its device (virtio 1.2, section 5.10.6). Little endian,
// as is every machine this runs on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace msb::virtio::vsock {

inline constexpr uint64_t kHostCid = 2;
inline constexpr uint16_t kTypeStream = 1;

enum class Op : uint16_t {
  kInvalid = 0,
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kData = 5,
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

// Flags of kShutdown: the sender of the packet will not …
enum ShutdownFlag : uint32_t {
  kShutdownReceive = 1,  // … receive any more
  kShutdownSend = 2,     // … send any more
};

struct [[gnu::packed]] Header {
  uint64_t src_cid;
  uint64_t dst_cid;
  uint32_t src_port;
  uint32_t dst_port;
  uint32_t length;  // of the payload
  uint16_t type;
  uint16_t op;
  uint32_t flags;
  uint32_t buf_alloc;
  uint32_t fwd_cnt;
};
inline constexpr size_t kHeaderBytes = 44;
static_assert(sizeof(Header) == kHeaderBytes);

// Section 5.10.4.
struct Config {
  uint64_t guest_cid;
};

// The largest payload of a packet, as Linux drivers have it.
inline constexpr uint32_t kMaxPayload = 64 * 1024;

}  // namespace msb::virtio::vsock
