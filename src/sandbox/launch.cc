#include "src/sandbox/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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
  lease->callbacks_ = std::move(callbacks);
  lease->socket_ =
      TRY(MonitorSocket::Create(loop, std::move(sockets.first),
                                [raw = lease.get()](const FromMonitor& m) { raw->OnMessage(m); }));
  ToMonitor message;
  message.start = spec;
  const base::Status sent = lease->socket_->Send(message, fds);
  if (sent) return lease;
  lease->socket_.reset();
  lease->Reap();
  return sent.error();
}

void Lease::Reap() {
  while (::waitpid(monitor_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Lease::Stop(uint32_t grace_ms) {
  ToMonitor message;
  message.stop = {grace_ms};
  // If it cannot be sent the monitor is gone, which is heard of as its end.
  if (socket_) (void)socket_->Send(message, {});
}

void Lease::OnMessage(const FromMonitor& message) {
  if (message.failure) {
    return Finish({EndReason::kStartFailed,
                   "the sandbox's monitor refused: " + message.failure->message.data,
                   {}});
  }
  if (message.notice && callbacks_.on_notice) callbacks_.on_notice(*message.notice);
  if (message.stopping && callbacks_.on_stopping) callbacks_.on_stopping(*message.stopping);
  if (message.running && callbacks_.on_running) callbacks_.on_running(*message.running);
  if (message.ended) return Finish(*message.ended);
  if (message.program_started) callbacks_.on_program_started(*message.program_started);
}

void Lease::Finish(const Ended& ended) {
  const Ended last_word = ended;  // it lives in the message, which may go with the socket
  // It has said its last word, or is gone; one that lives on in spite of a refusal or of nonsense
  // ends with its lease.
  socket_.reset();
  Reap();
  if (callbacks_.on_ended) std::exchange(callbacks_.on_ended, nullptr)(last_word);
}

}  // namespace msb::sandbox
