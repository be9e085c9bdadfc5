// The input is what a hostile User-Mode Linux says and does: records of a kind byte, a length byte
// and that many bytes. Kinds: bytes on the socket with a choice of descriptors, a kick, a write
// into guest memory.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "src/base/sys.h"
#include "src/virtio/testing/fuzz_input.h"
#include "src/virtio/vsock/vsock.h"
#include "src/vmm/uml/backend.h"

namespace msb::vmm::uml {
namespace {

using virtio::testing::FuzzInput;

constexpr uint64_t kMemoryBytes = 256 * 1024;

class NoEvents : public BackendEvents, public virtio::vsock::VsockEvents {
 public:
  void GuestBroken(const std::string&) override { broken = true; }
  void AgentListening() override {}
  void StreamFailed(uint32_t, const std::string&) override {}
  bool broken = false;
};

struct FrontEnd {
  base::Pair socket = base::MakeSocketPair(base::SocketType::kStream).value();
  base::Pair call = base::MakeSocketPair(base::SocketType::kStream).value();
  base::UniqueFd kick{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  base::UniqueFd memory = base::CreateMemFd("guest").value();
  base::UniqueFd null = base::OpenFile("/dev/null", O_RDWR).value();

  std::vector<int> Descriptors(unsigned kind) const {
    switch (kind) {
      case 1:
        return {memory.get()};
      case 2:
        return {kick.get()};
      case 3:
        return {call.second.get()};
      case 4:
        return {null.get()};
      case 5:
        return {memory.get(), memory.get(), null.get()};
    }
    return {};
  }
};

// False once the connection would be ended.
bool Serve(MessageReader& reader, Backend& backend, int socket_fd) {
  for (;;) {
    auto message = reader.Next(socket_fd);
    if (!message) return false;
    if (!*message) return true;
    const auto reply = backend.Handle(**std::move(message));
    if (!reply) return false;
    CHECK(!*reply || (*reply)->header.size <= kMaxPayload);
  }
}

bool Act(FrontEnd& front_end, MessageReader& reader, Backend& backend, FuzzInput& input) {
  const unsigned kind = input.Take<uint8_t>() % 8;
  if (kind == 6) {
    const uint64_t one = 1;
    return ::write(front_end.kick.get(), &one, sizeof one) > 0;
  }
  const auto length = input.Take<uint8_t>();
  if (kind == 7) {
    const auto address = input.Take<uint16_t>();
    return base::PwriteFull(front_end.memory.get(), input.TakeBytes(length), address).has_value();
  }
  const auto bytes = input.TakeBytes(length);
  if (bytes.empty()) return true;
  CHECK(base::SendWithFds(front_end.socket.first.get(), bytes, front_end.Descriptors(kind)));
  return Serve(reader, backend, front_end.socket.second.get());
}

// A queue whose used ring lies on its available ring feeds itself for ever: each turn is bounded,
// their number is not.
void RunLoop(base::EventLoop& loop) {
  for (int turns = 0; turns < 20 && loop.RunOnce(0).value(); ++turns) {
  }
}

void Run(FuzzInput input) {
  static const auto loop = base::EventLoop::Create().value();
  FrontEnd front_end;
  CHECK(::ftruncate(front_end.memory.get(), kMemoryBytes) == 0);
  NoEvents events;
  GuestFile memory(kMemoryBytes);
  const auto device = virtio::vsock::VsockDevice::Create(*loop, {}, events).value();
  const auto backend = Backend::Create(*loop, *device, memory, events).value();
  MessageReader reader;
  while (!input.empty() && !events.broken && Act(front_end, reader, *backend, input)) {
    RunLoop(*loop);
  }
  backend->Disconnected();
  RunLoop(*loop);
}

}  // namespace
}  // namespace msb::vmm::uml

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::vmm::uml::Run({data, size});
  return 0;
}
