#include "src/sandbox/launch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/paths.h"
#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

// Ignored signals stay so over exec, and a monitor that ignores SIGCHLD could not wait for its own
// children.
void ResetSignals() {
  // Not by signal(3): the C library keeps two of them to itself, which a starter's starter may have
  // ignored all the same. All zero, the kernel's structure (sigaction(2)) is the default.
  const struct {
    void* handler;
    unsigned long flags;
    void* restorer;
    unsigned long mask;
  } fresh = {};
  for (int signal = 1; signal < NSIG; ++signal) {
    ::syscall(SYS_rt_sigaction, signal, &fresh, nullptr, sizeof(fresh.mask));
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// In the child, of a process that may have other threads: only what is async-signal-safe. It keeps
// the lease alone, in a session of its own.
[[noreturn]] void BecomeMonitor(const char* path, int lease, int null_fd) {
  constexpr int kHigh = 64;  // above all that is put in its place below
  ::setsid();
  ResetSignals();
  const int high_lease = ::fcntl(lease, F_DUPFD, kHigh);
  const int high_null = ::fcntl(null_fd, F_DUPFD, kHigh);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(high_null, fd);
  ::dup2(high_lease, kLeaseFd);
  ::syscall(SYS_close_range, kLeaseFd + 1, ~0U, 0);
  ::execl(path, "msb-monitor", nullptr);
  ::_exit(127);
}

// Its pid descriptor. Not forked twice: whoever started it reaps it, where no init would; it
// outlives its starter all the same.
base::Result<base::UniqueFd> SpawnMonitor(int lease) {
  const std::string path = TRY(base::LibexecDirectory()) + "/msb-monitor";
  if (::access(path.c_str(), X_OK) < 0) {
    return base::FailErrno("this installation of microsandbox is incomplete: {}", path);
  }
  const base::UniqueFd null_fd = TRY(base::OpenFile("/dev/null", O_RDWR));
  int pid_fd = -1;
  // As fork, with a descriptor that means this child and no other, even where SIGCHLD is ignored
  // and its number free again at any time.
  const long child =
      ::syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, nullptr, &pid_fd, nullptr, nullptr);
  if (child < 0) return base::FailErrno("cannot start the sandbox's monitor");
  if (child == 0) BecomeMonitor(path.c_str(), lease, null_fd.get());
  return base::UniqueFd(pid_fd);
}

}  // namespace

base::Result<std::unique_ptr<Lease>> Lease::Start(base::EventLoop& loop, const SandboxSpec& spec,
                                                  const std::vector<int>& fds,
                                                  Callbacks callbacks) {
  base::Pair sockets = TRY(base::MakeSocketPair(base::SocketType::kSeqPacket));
  std::unique_ptr<Lease> lease(new Lease(loop));
  lease->monitor_ = TRY(SpawnMonitor(sockets.second.get()));
  lease->callbacks_ = std::move(callbacks);
  lease->socket_ =
      TRY(MonitorSocket::Create(loop, std::move(sockets.first),
                                [raw = lease.get()](const FromMonitor& m) { raw->OnMessage(m); }));
  ToMonitor message;
  message.start = spec;
  const base::Status sent = lease->socket_->Send(message, fds);
  if (sent) return lease;
  // It has received nothing, so there is nothing that it would have to tidy up.
  (void)base::PidFdSignal(lease->monitor_.get(), SIGKILL);
  lease->Reap();
  return sent.error();
}

void Lease::Reap() {
  // ECHILD where SIGCHLD is ignored: then nobody needs to.
  (void)base::WaitPidFd(monitor_.get());
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

void Lease::Finish(Ended ended) {
  last_word_ = std::move(ended);
  // It has said its last word, or is gone; one that lives on in spite of a refusal or of nonsense
  // ends with its lease.
  socket_.reset();
  auto watch = loop_.Add(monitor_.get(), EPOLLIN, [this](uint32_t) { AwaitMonitor(); });
  if (!watch) return AwaitMonitor();  // without memory: then it does wait
  monitor_watch_ = *std::move(watch);
}

void Lease::AwaitMonitor() {
  monitor_watch_.Reset();
  Reap();
  const Ended last_word = *last_word_;  // the call may destroy this
  if (callbacks_.on_ended) std::exchange(callbacks_.on_ended, nullptr)(last_word);
}

}  // namespace msb::sandbox
