#include "src/virtio/testing/fake_driver.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "src/base/sys.h"

namespace msb::virtio::testing {

ByteVector ToBytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string ToString(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

FakeMemory::FakeMemory(uint64_t size) : size_(size) {
  file_ = base::CreateMemFd("guest").value();
  CHECK(::ftruncate(file_.get(), static_cast<off_t>(size)) == 0);
  const GuestMemory::Region region = {kBase, size, 0, Rights::kReadWrite};
  memory_ = GuestMemory::Map(file_.get(), std::span(&region, 1)).value();
}

uint64_t FakeMemory::Allocate(uint64_t bytes, uint64_t alignment) {
  next_ = (next_ + alignment - 1) / alignment * alignment;
  const uint64_t address = next_;
  next_ += bytes;
  CHECK(next_ <= end());
  return address;
}

uint64_t FakeMemory::Place(std::span<const std::byte> bytes) {
  const uint64_t address = Allocate(bytes.size());
  CHECK(memory_->Write(address, bytes));
  return address;
}

ByteVector FakeMemory::Read(uint64_t address, uint64_t bytes) const {
  ByteVector out(bytes);
  CHECK(memory_->Read(address, out));
  return out;
}

FakeQueue::FakeQueue(FakeMemory& memory, uint16_t size) : memory_(memory), size_(size) {
  layout_.size = size;
  layout_.descriptors = memory.Allocate(16ull * size, 16);
  layout_.available = memory.Allocate(6 + 2ull * size, 2);
  layout_.used = memory.Allocate(6 + 8ull * size, 4);
  for (uint16_t i = 0; i < size; ++i) free_.push_back(i);
}

FakeQueue::Builder& FakeQueue::Builder::Readable(std::span<const std::byte> bytes) {
  return Part(queue_.memory_.Place(bytes), static_cast<uint32_t>(bytes.size()), false);
}

FakeQueue::Builder& FakeQueue::Builder::Writable(uint32_t bytes) {
  return Part(queue_.memory_.Allocate(bytes), bytes, true);
}

FakeQueue::Builder& FakeQueue::Builder::Part(uint64_t address, uint32_t length, bool writable) {
  parts_.push_back({address, length, writable ? kFlagWrite : uint16_t{0}, 0});
  return *this;
}

FakeQueue::Builder& FakeQueue::Builder::Indirect() {
  indirect_ = true;
  return *this;
}

uint16_t FakeQueue::Builder::Send() {
  Sent sent;
  std::vector<uint16_t> indexes;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const FakeDescriptor& part = parts_[i];
    if ((part.flags & kFlagWrite) != 0) sent.writable.push_back({part.address, part.length});
    indexes.push_back(indirect_ ? static_cast<uint16_t>(i) : queue_.TakeDescriptor());
  }
  const uint64_t table =
      indirect_ ? queue_.memory_.Allocate(16 * parts_.size()) : queue_.layout_.descriptors;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (i + 1 < parts_.size()) {
      parts_[i].flags |= kFlagNext;
      parts_[i].next = indexes[i + 1];
    }
    queue_.SetTableEntry(table, indexes[i], parts_[i]);
  }
  if (indirect_) {
    indexes = {queue_.TakeDescriptor()};
    queue_.SetDescriptor(indexes[0],
                         {table, static_cast<uint32_t>(16 * parts_.size()), kFlagIndirect, 0});
  }
  const uint16_t head = indexes.front();
  sent.descriptors = std::move(indexes);
  queue_.sent_[head] = std::move(sent);
  queue_.MakeAvailable(head);
  return head;
}

uint16_t FakeQueue::TakeDescriptor() {
  CHECK(!free_.empty());
  const uint16_t index = free_.front();
  free_.pop_front();
  return index;
}

std::optional<UsedChain> FakeQueue::TryUsed() {
  if (used_index() == seen_used_) return std::nullopt;
  struct Element {
    uint32_t id;
    uint32_t length;
  };
  const uint64_t slot = layout_.used + 4 + 8ull * (seen_used_++ % size_);
  const Element element = *memory_.memory().Load<Element>(slot);
  UsedChain used = {static_cast<uint16_t>(element.id), element.length, {}};
  if (const auto found = sent_.find(used.head); found != sent_.end()) {
    used.data.resize(used.written);
    memory_.memory().Gather({found->second.writable, 0, used.written}, used.data);
    for (const uint16_t index : found->second.descriptors) free_.push_back(index);
    sent_.erase(found);
  }
  return used;
}

UsedChain FakeQueue::Used() {
  auto used = TryUsed();
  CHECK(used.has_value());
  return *std::move(used);
}

size_t FakeQueue::UsedCount() const { return static_cast<uint16_t>(used_index() - seen_used_); }

void FakeQueue::SetDescriptor(uint16_t index, const FakeDescriptor& descriptor) {
  SetTableEntry(layout_.descriptors, index, descriptor);
}

void FakeQueue::SetTableEntry(uint64_t table, uint16_t index, const FakeDescriptor& descriptor) {
  CHECK(memory_.memory().Store(table + 16ull * index, descriptor));
}

void FakeQueue::MakeAvailable(uint16_t head) {
  CHECK(memory_.memory().Store(layout_.available + 4 + 2ull * (available_ % size_), head));
  SetAvailableIndex(static_cast<uint16_t>(available_ + 1));
}

void FakeQueue::SetAvailableIndex(uint16_t index) {
  available_ = index;
  CHECK(memory_.memory().StoreRelease16(layout_.available + 2, index));
}

void FakeQueue::SetAvailableFlags(uint16_t flags) {
  CHECK(memory_.memory().StoreRelease16(layout_.available, flags));
}

void FakeQueue::SetUsedEvent(uint16_t index) {
  CHECK(memory_.memory().StoreRelease16(layout_.available + 4 + 2ull * size_, index));
}

uint16_t FakeQueue::available_event() const {
  return *memory_.memory().LoadAcquire16(layout_.used + 4 + 8ull * size_);
}

uint16_t FakeQueue::used_flags() const { return *memory_.memory().LoadAcquire16(layout_.used); }

uint16_t FakeQueue::used_index() const { return *memory_.memory().LoadAcquire16(layout_.used + 2); }

FakeDriver::FakeDriver(Device& device, base::EventLoop& loop, std::optional<uint64_t> features,
                       uint16_t queue_size)
    : device_(device),
      loop_(loop),
      features_(features.value_or(device.features())),
      queue_size_(queue_size) {
  CHECK((features_ & ~device.features()) == 0);
  const auto sizes = device.max_queue_sizes();
  for (const uint16_t size : sizes) queues_.emplace_back(size);
  fake_queues_.resize(sizes.size());
  Activate();
}

void FakeDriver::Activate() {
  interrupts_.assign(queues_.size(), 0);
  for (size_t i = 0; i < queues_.size(); ++i) {
    fake_queues_[i] = std::make_unique<FakeQueue>(memory_, queue_size_);
    CHECK(queues_[i].Start(memory_.memory(), fake_queues_[i]->layout(), features_).has_value());
  }
  device_.Activate({&memory_.memory(), std::span(queues_), features_, this});
}

void FakeDriver::ResetDevice() {
  device_.Reset();
  for (Queue& queue : queues_) queue.Stop();
}

void FakeDriver::Kick(size_t queue) {
  device_.Kick(queue);
  RunUntilIdle();
}

void FakeDriver::RunUntilIdle() {
  // Bounded: a driver that misbehaves can keep a device busy for ever, turn by turn.
  for (int turns = 0; turns < 1000 && loop_.RunOnce(0).value(); ++turns) {
  }
}

void FakeDriver::RunUntilUsed(size_t queue) {
  while (fake_queues_[queue]->UsedCount() == 0) RunOnceBlocking();
}

void FakeDriver::RunOnceBlocking() { CHECK(loop_.RunOnce(-1).has_value()); }

}  // namespace msb::virtio::testing
