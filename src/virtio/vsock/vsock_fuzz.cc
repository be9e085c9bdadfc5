// The input is what a guest and a host do to streams: packets of any content, receive buffers of
// any size, writes, reads and closes of the host's sockets. Records: an action byte, then its
// operands (see Act).
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "src/base/sys.h"
#include "src/virtio/testing/fake_driver.h"
#include "src/virtio/testing/fuzz_input.h"
#include "src/virtio/vsock/vsock.h"

namespace msb::virtio::vsock {
namespace {

using virtio::testing::FakeDriver;
using virtio::testing::FakeQueue;
using virtio::testing::FuzzInput;

constexpr uint32_t kFirstHostPort = 1u << 20;

class NoEvents : public VsockEvents {
 public:
  void AgentListening() override {}
  void StreamFailed(uint32_t, const std::string&) override {}
};

struct World {
  VsockDevice& device;
  FakeDriver& driver;
  std::vector<base::UniqueFd> hosts;
};

void SendPacket(FakeQueue& queue, FuzzInput& input) {
  const auto choice = input.Take<uint8_t>();
  Header header = {};
  header.src_cid = (choice & 1) != 0 ? 99 : 3;
  header.dst_cid = (choice & 2) != 0 ? 99 : kHostCid;
  header.type = (choice & 4) != 0 ? 2 : kTypeStream;
  header.src_port = 1024;
  header.dst_port = (choice & 8) != 0 ? 1024 : kFirstHostPort + (choice >> 4);
  header.op = input.Take<uint8_t>();
  header.flags = input.Take<uint8_t>();
  header.length = input.Take<uint32_t>();
  header.buf_alloc = input.Take<uint32_t>();
  header.fwd_cnt = input.Take<uint32_t>();
  const auto payload = input.TakeBytes(input.Take<uint16_t>());
  if (queue.free_descriptors() < 3) return;
  auto builder = queue.Chain();
  builder.Readable(std::as_bytes(std::span(&header, 1)));
  if (!payload.empty()) builder.Readable(payload);
  builder.Send();
}

void OpenStream(World& world) {
  base::Pair pair = base::MakeSocketPair(base::SocketType::kStream, true).value();
  world.device.OpenStream(static_cast<uint32_t>(world.hosts.size()), 1024, std::move(pair.second));
  world.hosts.push_back(std::move(pair.first));
}

void Host(World& world, FuzzInput& input) {
  const auto which = input.Take<uint8_t>();
  if (world.hosts.empty()) return;
  base::UniqueFd& host = world.hosts[which % world.hosts.size()];
  if (!host.valid()) return;
  static std::array<char, 32 * 1024> buffer = {};
  const size_t size = input.Take<uint16_t>() % buffer.size();
  switch (which >> 6) {
    case 0:
      (void)!::send(host.get(), buffer.data(), size, MSG_NOSIGNAL);
      return;
    case 1:
      (void)!::read(host.get(), buffer.data(), size);
      return;
    case 2:
      ::shutdown(host.get(), static_cast<int>(size % 3));
      return;
    case 3:
      host.Reset();
      return;
  }
}

void Act(World& world, FuzzInput& input) {
  FakeDriver& driver = world.driver;
  switch (input.Take<uint8_t>() % 8) {
    case 0:
      return SendPacket(driver.queue(1), input);
    case 1:
      driver.Kick(1);
      while (driver.queue(1).TryUsed()) {
      }
      while (driver.queue(0).TryUsed()) {
      }
      return;
    case 2:
      if (driver.queue(0).free_descriptors() > 0) {
        driver.queue(0).Chain().Writable(input.Take<uint16_t>() % 5000).Send();
      }
      return driver.Kick(0);
    case 3:
      if (world.hosts.size() < 16) OpenStream(world);
      return;
    case 4:
      return Host(world, input);
    case 5: {
      FakeQueue& queue = driver.queue(input.Take<uint8_t>() % 3);
      const auto index = static_cast<uint16_t>(input.Take<uint8_t>() % 64);
      queue.SetDescriptor(index, input.Take<virtio::testing::FakeDescriptor>());
      return queue.MakeAvailable(index);
    }
    case 6:
      return driver.RunUntilIdle();
    case 7:
      return driver.queue(input.Take<uint8_t>() % 3).SetAvailableIndex(input.Take<uint16_t>());
  }
}

void Run(FuzzInput input) {
  static const auto loop = base::EventLoop::Create().value();
  static NoEvents events;
  const auto device = VsockDevice::Create(*loop, {.guest_cid = 3}, events).value();
  FakeDriver driver(*device, *loop);
  World world = {*device, driver, {}};
  for (int actions = 0; !input.empty() && actions < 100; ++actions) Act(world, input);
  driver.Kick(1);
  CHECK(device->connections() <= world.hosts.size());
}

}  // namespace
}  // namespace msb::virtio::vsock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::virtio::vsock::Run({data, size});
  return 0;
}
