// Queue: the device's side of a split virtqueue (virtio 1.2, section 2.7), with indirect
// descriptors and event indexes.
//
// Owned by the transport (one a ring), used by its device, on the event loop's thread. The driver
// is hostile: everything it wrote is read once, by copy, and checked. Two kinds of damage differ:
//   - a malformed *request* (a chain that loops, leaves guest memory, nests indirect tables, has
//     writable parts before readable ones, exceeds 4 GiB …) is given back at once, with nothing
//     written, and the queue goes on;
//   - a malformed *queue* (an available index that leaps, a head out of range or already in flight)
//     cannot be gone on with: the queue is broken until it is reset, with the reason in words.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/virtio/guest_memory.h"

namespace msb::virtio {

// Feature bits of the queues (virtio 1.2, section 6).
inline constexpr uint64_t kFeatureIndirect = 1ull << 28;
inline constexpr uint64_t kFeatureEventIndex = 1ull << 29;
inline constexpr uint64_t kFeatureVersion1 = 1ull << 32;

// One request: a descriptor chain, checked, as guest ranges; none is empty. Reused from request to
// request, so that a busy queue does not allocate.
class Chain {
 public:
  uint16_t head() const { return head_; }
  GuestSlice readable() const {
    return {std::span(ranges_).first(readable_count_), 0, readable_bytes_};
  }
  GuestSlice writable() const {
    return {std::span(ranges_).subspan(readable_count_), 0, writable_bytes_};
  }

 private:
  friend class Queue;
  uint16_t head_ = 0;
  std::vector<GuestRange> ranges_;  // the readable ones first
  size_t readable_count_ = 0;
  uint64_t readable_bytes_ = 0;
  uint64_t writable_bytes_ = 0;
};

class Queue {
 public:
  struct Layout {
    uint32_t size = 0;         // a power of two
    uint64_t descriptors = 0;  // guest addresses of the three parts
    uint64_t available = 0;
    uint64_t used = 0;
    uint16_t base = 0;  // index to begin with
  };
  enum class Pop {
    kChain,
    kEmpty,
    kReturned,  // a malformed request was given back; there may be more
    kBroken,
  };

  explicit Queue(uint16_t max_size) : max_size_(max_size) {}

  uint16_t max_size() const { return max_size_; }
  uint16_t size() const { return size_; }  // 0 unless started
  bool started() const { return memory_ != nullptr; }

  // `memory` must outlive the queue or its next Stop. Errors: kInvalid for a layout that is not a
  // queue within guest memory; kBusy if started (a driver may not move a live queue).
  base::Status Start(const GuestMemory& memory, const Layout& layout, uint64_t features);
  // Forgets everything, also what is in flight; requests still held by a device must be dropped.
  void Stop();

  Pop PopChain(Chain& chain);
  // Gives a request back with `written` bytes of its writable part filled.
  void Push(const Chain& chain, uint32_t written) { PushHead(chain.head(), written); }

  // Asks the driver to kick at its next request. True if one has slipped in: pop again.
  bool EnableKicks();
  void DisableKicks();  // a hint, to save kicks while the queue is being worked on
  // After a batch of Push: does the driver want to be interrupted?
  bool ShouldInterrupt();
  // Whether the driver has taken notice of the last interrupt, as far as one can tell.
  bool InterruptNoticed() const;

  bool broken() const { return !broken_reason_.empty(); }
  const std::string& broken_reason() const { return broken_reason_; }

 private:
  struct Descriptor;
  enum class Walk { kOk, kMalformed };

  void Break(std::string reason);
  void PushHead(uint16_t head, uint32_t written);
  Walk WalkChain(Chain& chain) const;
  Walk WalkTable(Chain& chain, uint64_t table, uint32_t entries, uint16_t first,
                 bool indirect) const;
  bool AddRange(Chain& chain, const Descriptor& descriptor) const;
  uint16_t Wrap(uint16_t index) const { return index & static_cast<uint16_t>(size_ - 1); }
  uint64_t UsedEventAddress() const { return layout_.available + 4 + 2ull * size_; }
  uint64_t AvailableEventAddress() const { return layout_.used + 4 + 8ull * size_; }

  const uint16_t max_size_;
  const GuestMemory* memory_ = nullptr;
  Layout layout_;
  uint16_t size_ = 0;
  bool indirect_ = false;
  bool event_index_ = false;
  uint16_t next_available_ = 0;
  uint16_t next_used_ = 0;
  uint16_t signalled_ = 0;     // next_used_ at the last decision about an interrupt
  uint16_t noticed_mark_ = 0;  // what the driver had written when it was last interrupted
  std::vector<bool> in_flight_;
  std::string broken_reason_;
};

enum class Drained {
  kIdle,     // empty, kicks enabled
  kMore,     // as many as one turn allows; go on in the next turn
  kStopped,  // the handler wants no more for now
  kBroken,
};

// Handles at most Queue::size() requests, so that a driver which adds them for ever cannot starve
// other devices. `handle(chain)` returns false to stop after this one.
template <typename Handle>
Drained Drain(Queue& queue, Chain& chain, Handle&& handle) {
  queue.DisableKicks();
  for (uint32_t budget = queue.size(); budget > 0;) {
    switch (queue.PopChain(chain)) {
      case Queue::Pop::kBroken:
        return Drained::kBroken;
      case Queue::Pop::kEmpty:
        if (!queue.EnableKicks()) return queue.broken() ? Drained::kBroken : Drained::kIdle;
        --budget;  // a request slipped in; a driver that plays with the index does not keep us here
        break;
      case Queue::Pop::kReturned:
        --budget;
        break;
      case Queue::Pop::kChain:
        --budget;
        if (!handle(chain)) return Drained::kStopped;
        break;
    }
  }
  return queue.started() ? Drained::kMore : Drained::kIdle;
}

}  // namespace msb::virtio
