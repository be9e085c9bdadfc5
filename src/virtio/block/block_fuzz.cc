// The input is what a driver does to a disk: requests of any shape, raw descriptors and indexes,
// resets. Records: an action byte, then its operands (see Act).
#include <unistd.h>

#include "src/base/sys.h"
#include "src/virtio/block/block.h"
#include "src/virtio/testing/fake_driver.h"
#include "src/virtio/testing/fuzz_input.h"

namespace msb::virtio::block {
namespace {

using virtio::testing::FakeDriver;
using virtio::testing::FakeQueue;
using virtio::testing::FuzzInput;

constexpr uint64_t kDiskBytes = 64 * 1024;

class NoEvents : public BlockEvents {
 public:
  void DiskFull(const std::string&) override {}
  void DiskResumed() override {}
  void DiskFailed(const std::string&) override {}
};

void Request(FakeQueue& queue, FuzzInput& input) {
  const auto shape = input.Take<uint8_t>();  // parts: 2 bits readable, 3 bits writable, indirect
  if (queue.free_descriptors() < 12) return;
  auto builder = queue.Chain();
  RequestHeader header = {};
  header.type = input.Take<uint8_t>();
  header.sector = input.Take<uint64_t>();
  builder.Readable(std::as_bytes(std::span(&header, 1)));
  for (int i = 0; i < (shape & 3); ++i) builder.Readable(input.TakeBytes(input.Take<uint8_t>()));
  for (int i = 0; i < ((shape >> 2) & 7); ++i) builder.Writable(input.Take<uint16_t>());
  if ((shape & 0x20) != 0) builder.Indirect();
  builder.Send();
}

void Act(FakeDriver& driver, BlockDevice& device, FuzzInput& input) {
  FakeQueue& queue = driver.queue(0);
  switch (input.Take<uint8_t>() % 7) {
    case 0:
      return Request(queue, input);
    case 1:
      driver.Kick(0);
      while (queue.TryUsed()) {
      }
      return;
    case 2: {
      const auto index = static_cast<uint16_t>(input.Take<uint8_t>() % 64);
      return queue.SetDescriptor(index, input.Take<virtio::testing::FakeDescriptor>());
    }
    case 3:
      return queue.MakeAvailable(input.Take<uint8_t>());
    case 4:
      return queue.SetAvailableIndex(input.Take<uint16_t>());
    case 5:
      return device.Resume();
    case 6:
      device.Reset();
      return;
  }
}

void Run(FuzzInput input) {
  static const auto loop = base::EventLoop::Create().value();
  static NoEvents events;
  const auto flags = input.Take<uint8_t>();
  base::UniqueFd file = base::CreateMemFd("disk").value();
  CHECK(::ftruncate(file.get(), kDiskBytes) == 0);
  auto disk = Disk::Create(
      {{std::make_shared<const base::UniqueFd>(std::move(file)), 0, kDiskBytes}}, (flags & 1) != 0);
  const auto device = BlockDevice::Create(*loop, std::move(disk).value(),
                                          {.serial = "disk", .durable = (flags & 2) != 0}, events)
                          .value();
  FakeDriver driver(*device, *loop);
  for (int actions = 0; !input.empty() && actions < 40; ++actions) Act(driver, *device, input);
  driver.Kick(0);
}

}  // namespace
}  // namespace msb::virtio::block

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::virtio::block::Run({data, size});
  return 0;
}
