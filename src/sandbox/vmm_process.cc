#include "src/sandbox/vmm_process.h"

#include <signal.h>

#include <algorithm>
#include <vector>

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

constexpr uint64_t kMiB = 1024 * 1024;
constexpr int kLockFd = 4;
constexpr int kIdentityLockFd = 5;
// More events than this at once, or than one every ten milliseconds, are an attack.
constexpr uint32_t kEventBurst = 2000;
constexpr uint32_t kEventInterval_ms = 10;

}  // namespace

VmmProcess::VmmProcess() : events_(kEventBurst, kEventInterval_ms) {}

base::Result<std::unique_ptr<VmmProcess>> VmmProcess::Start(
    base::EventLoop& loop, const VmmSpec& spec, std::function<void(const vmm::FromVmm&)> on_event) {
  base::Pair sockets = TRY(base::MakeSocketPair(base::SocketType::kSeqPacket));
  jail::JailSpec jail;
  jail.name = "vmm";
  jail.executable_fd = spec.executable_fd;
  jail.argv = {"msb-vmm"};
  jail.fds = {{sockets.second.get(), vmm::kControlFd}, {spec.lock_fd, kLockFd}};
  if (spec.identity_lock_fd >= 0) jail.fds.push_back({spec.identity_lock_fd, kIdentityLockFd});
  jail.host_uid = spec.host_uid;
  jail.host_gid = spec.host_gid;
  jail.cpu = spec.cpu;
  jail.limits = {{RLIMIT_NOFILE, 4096},
                 {RLIMIT_NPROC, 16},
                 jail::AtMost(RLIMIT_CORE, 1),  // not 0, which a piped core pattern ignores
                 {RLIMIT_SIGPENDING, 64},
                 {RLIMIT_MEMLOCK, 0},
                 {RLIMIT_MSGQUEUE, 0},
                 {RLIMIT_DATA, 128 * kMiB},
                 {RLIMIT_AS, spec.memory_bytes + 512 * kMiB},
                 // At least what its seccomp program needs on the way to the kernel.
                 {RLIMIT_FSIZE, std::max(spec.disk_bytes, kMiB)}};

  std::unique_ptr<VmmProcess> process(new VmmProcess);
  process->child_ = TRY(jail::Spawn(jail));
  process->socket_ = std::move(sockets.first);
  // A msb-vmm that does not read must not stop the monitor: what does not go out at once, fails.
  TRY(base::SetNonBlocking(process->socket_.get(), true));
  process->on_event_ = std::move(on_event);
  process->watch_ = TRY(loop.Add(process->socket_.get(), EPOLLIN,
                                 [raw = process.get()](uint32_t) { raw->OnReadable(); }));
  return process;
}

base::Status VmmProcess::Send(const vmm::ToVmm& message, std::span<const int> fds) {
  const std::string text = base::json::Write(message);
  TRY(base::SendWithFds(socket_.get(), std::as_bytes(std::span(text)), fds)
          .WithContext("cannot reach msb-vmm"));
  return {};
}

void VmmProcess::OnReadable() {
  // msb-vmm may have been taken over by its guest: what it says is bounded and checked.
  std::vector<std::byte> buffer(vmm::kMaxControlMessage);
  const auto received = base::ReceiveWithFds(socket_.get(), buffer, /*nonblocking=*/true);
  if (!received || received->size == 0) {
    watch_.Reset();  // its end is seen by its pid descriptor
    return;
  }
  if (!events_.Allow()) {
    LOG(kWarning, "msb-vmm floods its monitor and is ended");
    (void)base::PidFdSignal(child_.pid_fd.get(), SIGKILL);
    watch_.Reset();
    return;
  }
  const std::string_view text(reinterpret_cast<const char*>(buffer.data()), received->size);
  const auto message = base::json::Parse<vmm::FromVmm>(text);
  if (!message) {
    LOG(kWarning, "msb-vmm sent something that is no message: {}", message.error().message());
    return;
  }
  on_event_(*message);
}

}  // namespace msb::sandbox
