// The end of a sandbox: asked for, waited for, recorded. See monitor.h.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "src/base/log.h"
#include "src/sandbox/monitor.h"

namespace msb::sandbox {
namespace {

constexpr size_t kLogLines = 40;
constexpr size_t kMaxLog = 8 * 1024;
constexpr size_t kMaxMessage = 1024;

// The longest length up to `most` that does not cut a character of UTF-8 in two.
size_t CutBeforeCharacter(std::string_view text, size_t most) {
  if (text.size() <= most) return text.size();
  while (most > 0 && (static_cast<uint8_t>(text[most]) & 0xc0) == 0x80) --most;
  return most;
}

}  // namespace

void Monitor::Stop(EndReason reason, std::chrono::milliseconds grace) {
  if (ended_) return;
  if (!stop_reason_) stop_reason_ = reason;
  UpdateIdle();
  if (log_again_.armed()) {
    log_again_.Disarm();
    program_->ResumeOutput();
  }
  if (spec_.temporary && grace.count() == 0) return End(*stop_reason_, StopMessage());
  const int64_t by = base::MonotonicNanos() + std::chrono::nanoseconds(grace).count();
  if (phase_ == Phase::kStopping) {
    if (by < *stop_by_ns_) AskForShutdown(grace);
    return;
  }
  if (!Apply(Happening::kStop)) return;
  if (phase_ == Phase::kEnded) return End(*stop_reason_, StopMessage());
  FromMonitor message;
  message.stopping = *stop_reason_;
  AnswerAll(message);
  AskForShutdown(grace);
}

void Monitor::AskForShutdown(std::chrono::milliseconds grace) {
  stop_by_ns_ = base::MonotonicNanos() + std::chrono::nanoseconds(grace).count();
  agent::Shutdown shutdown;
  shutdown.grace_ms = static_cast<uint32_t>(grace.count());
  shutdown.signal = spec_.stop_signal;
  agent_->SendShutdown(shutdown, [this](const agent::Answer<void>& answer) {
    // Disks are safe; no need to watch the guest power off. How a detached program ended comes on
    // its own stream, to others, too.
    if (answer && (!program_ || (program_code_ && !drain_.armed()))) {
      End(*stop_reason_, StopMessage());
    }
  });
  // A guest that answers gets the time to settle; one that does not is at its end with the grace.
  guest_answers_ = false;
  agent_->SendPing(
      [this](const agent::Answer<void>& answer) { guest_answers_ = answer.has_value(); });
  deadline_.Arm(spec_.temporary ? grace : std::max(grace, std::chrono::milliseconds(kAnswer)));
}

void Monitor::OnDeadline() {
  if (phase_ == Phase::kStarting) {
    return End(EndReason::kStartFailed,
               fmt::format("the guest did not get ready within {} s", kStartDeadline.count()),
               true);
  }
  if (std::exchange(guest_answers_, false)) {
    deadline_.Arm(spec_.temporary ? kSettleTemporary : kSettle);
    return;
  }
  End(*stop_reason_, StopMessage());
}

std::string Monitor::StopMessage() const {
  const auto seconds = [](const std::optional<uint64_t>& ms) { return ms.value_or(0) / 1000; };
  switch (*stop_reason_) {
    case EndReason::kLifetime:
      return fmt::format("its lifetime of {} s is over", seconds(state_.limits.lifetime_ms));
    case EndReason::kIdle:
      return fmt::format("it was idle for {} s", seconds(state_.limits.idle_ms));
    default:
      return "stopped";
  }
}

int Monitor::ExitCodeFor(EndReason reason) const {
  constexpr int kOurs = 125, kLimit = 124, kKilled = 137;
  switch (reason) {
    case EndReason::kProgramEnded:
    case EndReason::kRequested:
      // A sandbox that lives on its own is ended by nothing else.
      if (!spec_.program || !spec_.ends_with_program) return 0;
      return program_code_.value_or(kKilled);
    case EndReason::kLifetime:
    case EndReason::kIdle:
      return kLimit;
    case EndReason::kStartFailed:
      return program_code_.value_or(kOurs);
    default:
      return kOurs;
  }
}

void Monitor::End(EndReason reason, std::string message, bool show_log) {
  if (ended_) return;
  const bool keep = spec_.detached && ready_;
  phase_ = Phase::kEnded;
  // Foreign text may be in it, and all of it must fit into one packet.
  message.resize(CutBeforeCharacter(message, kMaxMessage));
  ended_ = Ended{reason, std::move(message), {}, ExitCodeFor(reason), program_refusal_};
  // The guest first: nothing may run that believes in devices which are gone.
  const auto reap = [](const jail::Child& child) {
    (void)base::PidFdSignal(child.pid_fd.get(), SIGKILL);
    (void)base::WaitPidFd(child.pid_fd.get());
  };
  kernel_watch_.Reset();
  vmm_watch_.Reset();
  if (kernel_) reap(kernel_->child);
  if (vmm_) reap(vmm_->child());
  placement_.reset();
  if (show_log && log_) ended_->guest_log.data = log_->Tail(kLogLines, kMaxLog);
  if (keep) KeepRecord();
  loop_->Stop();
}

void Monitor::KeepRecord() {
  state_.ended = ended_;
  state_.ended_ms = WallClockMs();
  run_->ReleaseRoom();  // for this
  const base::Status written = WriteState();
  if (!written) LOG(kWarning, "cannot record the end: {}", written.error().message());
  if (program_log_) program_log_->Finish();
  ::unlinkat(run_->fd(), kControlSocket, 0);
  run_->Keep();
}

}  // namespace msb::sandbox
