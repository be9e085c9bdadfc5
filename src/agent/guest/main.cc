// msb-agent: PID 1 of the guest, /init of its initramfs.
#include <fcntl.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "src/agent/guest/guest_machine.h"
#include "src/agent/guest/server.h"
#include "src/agent/guest/vsock_listener.h"
#include "src/base/log.h"
#include "src/base/sys.h"

namespace {

msb::base::Status Run() {
  using namespace msb;
  const auto loop = TRY(base::EventLoop::Create());
  agent::GuestMachine machine(*loop);
  const auto server = TRY(agent::Server::Create(*loop, machine, {}));
  const auto listener = TRY(agent::VsockListener::Listen(
      *loop, [&](base::UniqueFd connection) { server->Accept(std::move(connection)); }));
  // First of all: the host opens its streams while we go on.
  agent::VsockListener::Announce();
  TRY(agent::GuestMachine::Prepare());
  // The kernel's log is the host's view of the guest; <3> is the level of what `quiet` lets
  // through.
  if (auto log = base::OpenFile("/dev/kmsg", O_WRONLY)) {
    base::ConfigureLog({.fd = log->Release(), .program = "<3>msb-agent"});
  }
  return loop->Run();
}

}  // namespace

int main() {
  if (::getpid() != 1) {
    msb::base::ConfigureLog({.program = "msb-agent"});
    LOG(kError, "runs as PID 1 of a guest only");
    return 125;
  }
  // Descriptors 0 to 2 must not become something else by accident.
  while (::fcntl(2, F_GETFD) < 0 && ::open("/", O_RDONLY) >= 0) {
  }
  if (msb::base::Status ended = Run(); !ended) LOG(kError, "{}", ended.error().message());
  ::reboot(RB_POWER_OFF);
  return 1;
}
