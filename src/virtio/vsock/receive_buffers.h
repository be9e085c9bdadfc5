// ReceiveBuffers: the guest's empty receive buffers, taken from the queue a little ahead, so that
// one read of a host socket fills a batch of them.
//
// Owned by a VsockDevice, on the event loop's thread. A buffer that is too small for a header and a
// byte is given back at once. Buffers are used in the order of the queue.
#pragma once

#include <array>
#include <cstdint>

#include "src/virtio/guest_memory.h"
#include "src/virtio/queue.h"
#include "src/virtio/vsock/wire.h"

namespace msb::virtio::vsock {

class ReceiveBuffers {
 public:
  static constexpr size_t kBatch = 32;

  // Takes buffers from the queue until `count` (at most kBatch) are at hand; returns how many are.
  size_t Fill(Queue& queue, size_t count);
  // Room for payload in the i-th buffer at hand.
  GuestSlice Payload(size_t i) const { return At(i).writable().Sub(kHeaderBytes); }
  // Writes the header into the first buffer and gives it back, with the payload already in it.
  // False if guest memory refused it.
  bool Complete(Queue& queue, const GuestMemory& memory, const Header& header);
  void Clear() { count_ = 0; }

 private:
  const Chain& At(size_t i) const { return chains_[(first_ + i) % kBatch]; }

  std::array<Chain, kBatch> chains_;  // a ring
  size_t first_ = 0;
  size_t count_ = 0;
};

}  // namespace msb::virtio::vsock
