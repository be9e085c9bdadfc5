#include "src/sandbox/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

// In the child: only the lease, in a session of its own.
[[noreturn]] void BecomeMonitor(const char* path, int lease, int null_fd) {
  ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int high = ::fcntl(lease, F_DUPFD, 64);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null_fd, fd);
  ::dup2(high, kLeaseFd);
  ::syscall(SYS_close_range, kLeaseFd + 1, ~0U, 0);
  ::execl(path, "msb-monitor", nullptr);
  ::_exit(127);
}

// Not forked twice: whoever started it reaps it, where no init would; it outlives its starter all
// the same.
base::Result<pid_t> SpawnMonitor(int lease) {
  const std::string path = TRY(base::LibexecDirectory()) + "/msb-monitor";
  if (::access(path.c_str(), X_OK) < 0) {
    return base::FailErrno("this installation of microsandbox is incomplete: {}", path);
  }
  const base::UniqueFd null_fd = TRY(base::OpenFile("/dev/null", O_RDWR));
  const pid_t child = ::fork();
  if (child < 0) return base::FailErrno("cannot start the sandbox's monitor");
  if (child == 0) BecomeMonitor(path.c_str(), lease, null_fd.get());
  return child;
}

}  // namespace

base::Result<std::unique_ptr<Lease>> Lease::Start(base::EventLoop& loop, const SandboxSpec& spec,
                                                  const std::vector<int>& fds,
                                                  Callbacks callbacks) {
  base::Pair sockets = TRY(base::MakeSocketPair(base::SocketType::kSeqPacket));
  std::unique_ptr<Lease> lease(new Lease);
  lease->monitor_ = TRY(SpawnMonitor(sockets.second.get()));
  lease->socket_ = std::move(sockets.first);
  lease->callbacks_ = std::move(callbacks);
  lease->watch_ = TRY(loop.Add(lease->socket_.get(), EPOLLIN,
                               [raw = lease.get()](uint32_t) { raw->OnReadable(); }));
  ToMonitor message;
  message.start = spec;
  const std::string text = base::json::Write(message);
  if (text.size() > kMaxMonitorMessage) {
    return base::Fail(base::ErrorCode::kLimit, "the sandbox's description is too long");
  }
  TRY(base::SendWithFds(lease->socket_.get(), std::as_bytes(std::span(text)), fds)
          .WithContext("cannot reach the sandbox's monitor"));
  return lease;
}

void Lease::Stop(uint32_t grace_ms) {
  ToMonitor message;
  message.stop = {grace_ms};
  // If it cannot be sent the monitor is gone, which OnReadable sees.
  const std::string text = base::json::Write(message);
  (void)base::SendWithFds(socket_.get(), std::as_bytes(std::span(text)), {});
}

void Lease::OnReadable() {
  std::vector<std::byte> buffer(kMaxMonitorMessage);
  const auto received = base::ReceiveWithFds(socket_.get(), buffer, /*nonblocking=*/true);
  if (!received && received.error().sys_errno() == EAGAIN) return;
  if (!received || received->size == 0) {
    return Finish({EndReason::kVmmEnded, "the sandbox's monitor was killed", {}});
  }
  const std::string_view text(reinterpret_cast<const char*>(buffer.data()), received->size);
  const auto message = base::json::Parse<FromMonitor>(text);
  if (!message) {
    return Finish({EndReason::kStartFailed,
                   "the sandbox's monitor sent nonsense: " + message.error().message(),
                   {}});
  }
  if (message->failure) {
    return Finish({EndReason::kStartFailed,
                   "the sandbox's monitor refused: " + message->failure->message.data,
                   {}});
  }
  if (message->notice && callbacks_.on_notice) callbacks_.on_notice(*message->notice);
  if (message->ended) return Finish(*message->ended);
  if (message->running && callbacks_.on_running) callbacks_.on_running(*message->running);
}

void Lease::Finish(const Ended& ended) {
  watch_.Reset();
  // It has said its last word, or is gone; one that lives on in spite of a refusal or of nonsense
  // ends with its lease.
  socket_.Reset();
  while (::waitpid(monitor_, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (callbacks_.on_ended) std::exchange(callbacks_.on_ended, nullptr)(ended);
}

}  // namespace msb::sandbox
