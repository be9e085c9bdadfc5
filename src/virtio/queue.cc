#include "src/virtio/queue.h"

#include <atomic>
#include <bit>
#include <utility>

namespace msb::virtio {

using base::ErrorCode;
using base::Fail;
using base::Status;

// virtio 1.2, section 2.7.5.
struct Queue::Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

namespace {

enum DescriptorFlag : uint16_t { kNext = 1, kWrite = 2, kIndirect = 4 };
constexpr uint16_t kNoInterrupt = 1;  // section 2.7.6
constexpr uint16_t kNoNotify = 1;     // section 2.7.8
constexpr uint64_t kDescriptorBytes = 16;
constexpr uint64_t kMaxChainBytes = UINT32_MAX;  // section 2.7.5: at most 2^32 bytes

struct UsedElement {
  uint32_t id;
  uint32_t length;
};

// Section 2.7.10: is an event at `event` due when the index moves from `old_index` to `new_index`?
bool EventDue(uint16_t event, uint16_t new_index, uint16_t old_index) {
  return static_cast<uint16_t>(new_index - event - 1) <
         static_cast<uint16_t>(new_index - old_index);
}

}  // namespace

Status Queue::Start(const GuestMemory& memory, const Layout& layout, uint64_t features) {
  if (started()) return Fail(ErrorCode::kBusy, "the driver moves a queue that is in use");
  if (!std::has_single_bit(layout.size) || layout.size > max_size_) {
    return Fail(ErrorCode::kInvalid, "a queue of {} entries (at most {})", layout.size, max_size_);
  }
  const uint32_t size = layout.size;
  const auto inside = [&](uint64_t address, uint32_t length, uint64_t alignment, Rights rights) {
    return address % alignment == 0 && memory.Contains({address, length}, rights);
  };
  // Each part with its event index (section 2.7).
  if (!inside(layout.descriptors, 16 * size, 16, Rights::kRead) ||
      !inside(layout.available, 6 + 2 * size, 2, Rights::kRead) ||
      !inside(layout.used, 6 + 8 * size, 4, Rights::kReadWrite)) {
    return Fail(ErrorCode::kInvalid, "a queue outside guest memory");
  }
  Stop();
  memory_ = &memory;
  layout_ = layout;
  size_ = static_cast<uint16_t>(size);
  indirect_ = (features & kFeatureIndirect) != 0;
  event_index_ = (features & kFeatureEventIndex) != 0;
  next_available_ = next_used_ = signalled_ = layout.base;
  in_flight_.assign(size, false);
  return {};
}

void Queue::Stop() {
  memory_ = nullptr;
  size_ = 0;
  in_flight_.clear();
  broken_reason_.clear();
}

void Queue::Break(std::string reason) {
  if (!broken()) broken_reason_ = std::move(reason);
}

Queue::Pop Queue::PopChain(Chain& chain) {
  if (!started()) return Pop::kEmpty;
  if (broken()) return Pop::kBroken;
  const uint16_t available = memory_->LoadAcquire16(layout_.available + 2).value_or(0);
  const uint16_t pending = available - next_available_;
  if (pending == 0) return Pop::kEmpty;
  if (pending > size_) {
    Break("the available index leapt past the queue's size");
    return Pop::kBroken;
  }
  const uint64_t entry = layout_.available + 4 + 2ull * Wrap(next_available_);
  const uint16_t head = memory_->Load<uint16_t>(entry).value_or(UINT16_MAX);
  if (head >= size_) {
    Break("a head beyond the descriptor table");
    return Pop::kBroken;
  }
  if (in_flight_[head]) {
    Break("the same head in flight twice");
    return Pop::kBroken;
  }
  ++next_available_;
  in_flight_[head] = true;
  chain.head_ = head;
  if (WalkChain(chain) == Walk::kMalformed) {
    PushHead(head, 0);
    return Pop::kReturned;
  }
  return Pop::kChain;
}

Queue::Walk Queue::WalkChain(Chain& chain) const {
  chain.ranges_.clear();
  chain.readable_count_ = 0;
  chain.readable_bytes_ = chain.writable_bytes_ = 0;
  return WalkTable(chain, layout_.descriptors, size_, chain.head_, /*indirect=*/false);
}

// A chain visits at most as many descriptors as its table has: more is a loop.
Queue::Walk Queue::WalkTable(Chain& chain, uint64_t table, uint32_t entries, uint16_t first,
                             bool indirect) const {
  uint16_t index = first;
  for (uint32_t hops = 0; hops < entries; ++hops) {
    const auto descriptor = memory_->Load<Descriptor>(table + kDescriptorBytes * index);
    if (!descriptor) return Walk::kMalformed;
    if ((descriptor->flags & kIndirect) != 0) {
      // Section 2.7.5.3.1: never inside an indirect table, never with a successor. A table larger
      // than the queue would let a request be longer than any bound of ours.
      const bool allowed = indirect_ && !indirect && (descriptor->flags & kNext) == 0;
      const uint32_t count = descriptor->length / kDescriptorBytes;
      if (!allowed || count == 0 || count > size_ || descriptor->length % kDescriptorBytes != 0) {
        return Walk::kMalformed;
      }
      return WalkTable(chain, descriptor->address, count, 0, /*indirect=*/true);
    }
    if (!AddRange(chain, *descriptor)) return Walk::kMalformed;
    if ((descriptor->flags & kNext) == 0) return Walk::kOk;
    if (descriptor->next >= entries) return Walk::kMalformed;
    index = descriptor->next;
  }
  return Walk::kMalformed;
}

bool Queue::AddRange(Chain& chain, const Descriptor& descriptor) const {
  const bool writable = (descriptor.flags & kWrite) != 0;
  // Section 2.7.4.2: the readable parts come first.
  if (!writable && chain.ranges_.size() > chain.readable_count_) return false;
  if (descriptor.length == 0) return true;          // contributes nothing
  if (chain.ranges_.size() == size_) return false;  // section 2.7.5.3.1: not longer than the queue
  const GuestRange range = {descriptor.address, descriptor.length};
  if (!memory_->Contains(range, writable ? Rights::kReadWrite : Rights::kRead)) return false;
  uint64_t& bytes = writable ? chain.writable_bytes_ : chain.readable_bytes_;
  bytes += range.length;
  if (chain.readable_bytes_ + chain.writable_bytes_ > kMaxChainBytes) return false;
  chain.ranges_.push_back(range);
  if (!writable) ++chain.readable_count_;
  return true;
}

void Queue::PushHead(uint16_t head, uint32_t written) {
  if (!started() || broken()) return;
  CHECK(head < size_ && in_flight_[head]);
  in_flight_[head] = false;
  memory_->Store(layout_.used + 4 + 8ull * Wrap(next_used_), UsedElement{head, written});
  ++next_used_;
  memory_->StoreRelease16(layout_.used + 2, next_used_);
}

bool Queue::EnableKicks() {
  if (!started() || broken()) return false;
  if (event_index_) {
    memory_->StoreRelease16(AvailableEventAddress(), next_available_);
  } else {
    memory_->StoreRelease16(layout_.used, 0);
  }
  // The driver must see the store before we look for what it added meanwhile (section 2.7.10.1).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return memory_->LoadAcquire16(layout_.available + 2) != next_available_;
}

void Queue::DisableKicks() {
  // With event indexes the old value, which the driver has passed, does it.
  if (started() && !event_index_) memory_->StoreRelease16(layout_.used, kNoNotify);
}

bool Queue::ShouldInterrupt() {
  if (!started() || broken()) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint16_t signalled = std::exchange(signalled_, next_used_);
  if (signalled == next_used_) return false;
  if (!event_index_) {
    noticed_mark_ = memory_->LoadAcquire16(layout_.available + 2).value_or(0);
    return (memory_->LoadAcquire16(layout_.available).value_or(0) & kNoInterrupt) == 0;
  }
  const uint16_t event = memory_->LoadAcquire16(UsedEventAddress()).value_or(0);
  if (!EventDue(event, next_used_, signalled)) return false;
  noticed_mark_ = event;
  return true;
}

// A driver that handles an interrupt moves its used event (or, without event indexes, usually adds
// requests). Nothing moved: the interrupt may have been lost.
bool Queue::InterruptNoticed() const {
  if (!started() || broken()) return true;
  const uint64_t mark = event_index_ ? UsedEventAddress() : layout_.available + 2;
  return memory_->LoadAcquire16(mark) != noticed_mark_;
}

}  // namespace msb::virtio
