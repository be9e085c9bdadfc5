#include "src/virtio/vsock/receive_buffers.h"

#include <algorithm>

namespace msb::virtio::vsock {

size_t ReceiveBuffers::Fill(Queue& queue, size_t count) {
  count = std::min(count, kBatch);
  for (uint32_t budget = queue.size(); count_ < count && budget > 0; --budget) {
    Chain& chain = chains_[(first_ + count_) % kBatch];
    const Queue::Pop popped = queue.PopChain(chain);
    if (popped == Queue::Pop::kReturned) continue;
    if (popped != Queue::Pop::kChain) break;
    if (chain.writable().length > kHeaderBytes) {
      ++count_;
    } else {
      queue.Push(chain, 0);
    }
  }
  return std::min(count_, count);
}

bool ReceiveBuffers::Complete(Queue& queue, const GuestMemory& memory, const Header& header) {
  const Chain& chain = chains_[first_];
  first_ = (first_ + 1) % kBatch;
  --count_;
  const bool written =
      memory.Scatter(chain.writable(), std::as_bytes(std::span(&header, 1))) == kHeaderBytes;
  queue.Push(chain, static_cast<uint32_t>(kHeaderBytes) + header.length);
  return written;
}

}  // namespace msb::virtio::vsock
