// The input is guest memory from the rings on: descriptors, available ring, used ring and whatever
// tables they lead to. Every chain the queue lets through must lie within guest memory.
#include "src/virtio/queue.h"
#include "src/virtio/testing/fake_driver.h"
#include "src/virtio/testing/fuzz_input.h"

namespace msb::virtio {
namespace {

constexpr uint16_t kSize = 16;
constexpr uint64_t kMemory = 64 * 1024;

void CheckRanges(const GuestMemory& memory, const GuestSlice& slice, Rights rights) {
  uint64_t sum = 0;
  for (const GuestRange& range : slice.ranges) {
    CHECK(range.length > 0 && memory.Contains(range, rights));
    sum += range.length;
  }
  CHECK(sum == slice.length && sum <= UINT32_MAX);
}

void Run(testing::FuzzInput input) {
  static testing::FakeMemory guest(kMemory);
  const auto flags = input.Take<uint8_t>();
  const uint64_t features =
      ((flags & 1) != 0 ? kFeatureIndirect : 0) | ((flags & 2) != 0 ? kFeatureEventIndex : 0);
  const Queue::Layout layout = {.size = kSize,
                                .descriptors = testing::FakeMemory::kBase,
                                .available = testing::FakeMemory::kBase + 256,
                                .used = testing::FakeMemory::kBase + 512,
                                .base = input.Take<uint16_t>()};
  const GuestRange all = {testing::FakeMemory::kBase, static_cast<uint32_t>(kMemory)};
  guest.memory().Zero({std::span(&all, 1), 0, kMemory});
  CHECK(guest.memory().Write(testing::FakeMemory::kBase, input.TakeBytes(kMemory)));

  Queue queue(256);
  CHECK(queue.Start(guest.memory(), layout, features).has_value());
  Chain chain;
  for (int turn = 0; turn < 4; ++turn) {
    uint32_t handled = 0;
    const Drained drained = Drain(queue, chain, [&](Chain& request) {
      CHECK(++handled <= kSize);
      CHECK(request.readable().ranges.size() + request.writable().ranges.size() <= kSize);
      CheckRanges(guest.memory(), request.readable(), Rights::kRead);
      CheckRanges(guest.memory(), request.writable(), Rights::kReadWrite);
      if (turn % 2 == 0) queue.Push(request, 1);  // else it stays in flight
      return true;
    });
    queue.ShouldInterrupt();
    queue.InterruptNoticed();
    if (drained != Drained::kMore) break;
  }
}

}  // namespace
}  // namespace msb::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::virtio::Run({data, size});
  return 0;
}
