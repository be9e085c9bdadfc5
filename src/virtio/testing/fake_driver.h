// FakeDriver: the driver's side of a virtio device, for tests that read like the specification.
//
//   FakeDriver driver(device, loop);
//   driver.queue(0).Chain().Readable(header).Writable(512).Writable(1).Send();
//   driver.Kick(0);                                  // and lets the device work
//   EXPECT_EQ(driver.queue(0).Used().data, ...);
//
// It can also misbehave: raw descriptors, indexes and layouts. One thread, the event loop's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/event_loop.h"
#include "src/base/unique_fd.h"
#include "src/virtio/device.h"
#include "src/virtio/guest_memory.h"
#include "src/virtio/queue.h"

namespace msb::virtio::testing {

using ByteVector = std::vector<std::byte>;

ByteVector ToBytes(std::string_view text);
std::string ToString(std::span<const std::byte> bytes);
template <typename T>
ByteVector BytesOf(const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

// Guest memory over a memfd, with an allocator that never frees.
class FakeMemory {
 public:
  static constexpr uint64_t kBase = 0x10000;

  explicit FakeMemory(uint64_t size = 8 << 20);
  const GuestMemory& memory() const { return *memory_; }
  int fd() const { return file_.get(); }
  uint64_t size() const { return size_; }
  uint64_t end() const { return kBase + size_; }  // the first address outside

  uint64_t Allocate(uint64_t bytes, uint64_t alignment = 16);
  uint64_t Place(std::span<const std::byte> bytes);
  ByteVector Read(uint64_t address, uint64_t bytes) const;

 private:
  uint64_t size_;
  base::UniqueFd file_;
  std::unique_ptr<GuestMemory> memory_;
  uint64_t next_ = kBase;
};

struct FakeDescriptor {
  uint64_t address = 0;
  uint32_t length = 0;
  uint16_t flags = 0;
  uint16_t next = 0;
};
inline constexpr uint16_t kFlagNext = 1;
inline constexpr uint16_t kFlagWrite = 2;
inline constexpr uint16_t kFlagIndirect = 4;

struct UsedChain {
  uint16_t head = 0;
  uint32_t written = 0;
  ByteVector data;  // the first `written` bytes of the writable parts
};

class FakeQueue {
 public:
  class Builder {
   public:
    Builder& Readable(std::span<const std::byte> bytes);
    Builder& Writable(uint32_t bytes);
    Builder& Part(uint64_t address, uint32_t length, bool writable);  // anything
    Builder& Indirect();                                              // in a table of its own
    uint16_t Send();                                                  // makes it available

   private:
    friend class FakeQueue;
    explicit Builder(FakeQueue& queue) : queue_(queue) {}
    FakeQueue& queue_;
    std::vector<FakeDescriptor> parts_;
    bool indirect_ = false;
  };

  FakeQueue(FakeMemory& memory, uint16_t size);

  Queue::Layout layout() const { return layout_; }
  size_t free_descriptors() const { return free_.size(); }
  Builder Chain() { return Builder(*this); }

  // The next chain the device gave back; nullopt if there is none.
  std::optional<UsedChain> TryUsed();
  UsedChain Used();  // there must be one
  size_t UsedCount() const;

  // --- raw ---
  void SetDescriptor(uint16_t index, const FakeDescriptor& descriptor);
  void SetTableEntry(uint64_t table, uint16_t index, const FakeDescriptor& descriptor);
  void MakeAvailable(uint16_t head);
  void SetAvailableIndex(uint16_t index);
  void SetAvailableFlags(uint16_t flags);
  void SetUsedEvent(uint16_t index);
  uint16_t available_index() const { return available_; }
  uint16_t available_event() const;
  uint16_t used_flags() const;
  uint16_t used_index() const;

 private:
  uint16_t TakeDescriptor();

  FakeMemory& memory_;
  const uint16_t size_;
  Queue::Layout layout_;
  uint16_t available_ = 0;
  uint16_t seen_used_ = 0;
  std::deque<uint16_t> free_;
  struct Sent {
    std::vector<uint16_t> descriptors;
    std::vector<GuestRange> writable;
  };
  std::map<uint16_t, Sent> sent_;
};

class FakeDriver final : public Transport {
 public:
  // Negotiates `features` (by default all that are offered), starts all queues and activates.
  FakeDriver(Device& device, base::EventLoop& loop, std::optional<uint64_t> features = {},
             uint16_t queue_size = 64);
  ~FakeDriver() override { device_.Reset(); }

  FakeMemory& memory() { return memory_; }
  FakeQueue& queue(size_t index) { return *fake_queues_[index]; }
  Queue& device_queue(size_t index) { return queues_[index]; }

  void Kick(size_t queue);
  void RunUntilIdle();
  void RunUntilUsed(size_t queue);  // waits
  void RunOnceBlocking();
  void ResetDevice();
  void Activate();

  int interrupts(size_t queue) const { return interrupts_[queue]; }
  const std::string& broken() const { return broken_; }

  void Interrupt(size_t queue) override { ++interrupts_[queue]; }
  void Broken(const std::string& reason) override { broken_ = reason; }

 private:
  Device& device_;
  base::EventLoop& loop_;
  FakeMemory memory_;
  uint64_t features_;
  uint16_t queue_size_;
  std::vector<Queue> queues_;
  std::vector<std::unique_ptr<FakeQueue>> fake_queues_;
  std::vector<int> interrupts_;
  std::string broken_;
};

}  // namespace msb::virtio::testing
