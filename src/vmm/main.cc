// msb-vmm: the devices of one guest, in jail A. Descriptor 3 is the monitor (src/vmm/protocol.h).
#include <malloc.h>
#include <signal.h>

#include "src/base/event_loop.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/jail/seccomp.h"
#include "src/vmm/control.h"
#include "src/vmm/guest_fault.h"
#include "src/vmm/machine.h"
#include "src/vmm/seccomp_policy.h"

namespace {

using namespace msb;  // NOLINT: main only wires

base::Status Run() {
  const auto loop = TRY(base::EventLoop::Create());
  vmm::Control control{base::UniqueFd(vmm::kControlFd)};
  TRY(vmm::HandleGuestFaults(
      control.fd(), base::json::Write(vmm::FromVmm{.event = vmm::VmmEvent::kGuestBroken,
                                                   .message = "the guest broke its memory"})));
  vmm::Control::Request first = TRY(control.Receive());
  if (!first.message.start) {
    return base::Fail(base::ErrorCode::kProtocol, "the monitor did not begin with a start");
  }
  const auto machine =
      TRY(vmm::Machine::Create(*loop, control, *first.message.start, std::move(first.fds)));
  const auto filter =
      TRY(jail::CompileSeccomp(vmm::SeccompPolicy(), jail::Otherwise::kKillProcess));
  TRY(jail::InstallSeccomp(filter));
  return machine->Serve();
}

}  // namespace

int main() {
  // One arena: the flushing thread allocates nothing.
  ::mallopt(M_ARENA_MAX, 1);
  // A jail's standard error may lead nowhere: a log line is not worth a life.
  ::signal(SIGPIPE, SIG_IGN);
  base::ConfigureLog({.program = "msb-vmm"});
  const base::Status status = Run();
  if (status) return 0;
  LOG(kError, "{}", status.error().message());
  return 1;
}
