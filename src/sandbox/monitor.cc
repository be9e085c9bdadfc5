#include "src/sandbox/monitor.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/sandbox/pinning.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;
using base::UniqueFd;

base::Result<ToMonitor> ParseMessage(std::string_view text, std::vector<UniqueFd>& fds) {
  const ToMonitor message = TRY(base::json::Parse<ToMonitor>(text));
  if (!message.message_fd) return message;
  if (*message.message_fd + 1 != fds.size()) {
    return base::Fail(ErrorCode::kProtocol, "message_fd: it must be the last descriptor");
  }
  const UniqueFd file = std::move(fds.back());
  fds.pop_back();
  // Of memory, not anything that a read could wait for.
  const struct stat status = TRY(base::Stat(file.get()));
  if (!S_ISREG(status.st_mode) || !base::IsMemFd(file.get()) ||
      static_cast<uint64_t>(status.st_size) > kMaxMonitorMessage) {
    return base::Fail(ErrorCode::kProtocol, "message_fd: no memory file of at most {} bytes",
                      kMaxMonitorMessage);
  }
  std::string body(static_cast<size_t>(status.st_size), '\0');
  TRY(base::PreadFull(file.get(), std::as_writable_bytes(std::span(body)), 0));
  return base::json::Parse<ToMonitor>(body);
}

}  // namespace

base::Result<std::unique_ptr<Monitor>> Monitor::Create(UniqueFd lease) {
  auto loop = TRY(base::EventLoop::Create());
  std::unique_ptr<Monitor> monitor(new Monitor(std::move(loop), std::move(lease)));
  TRY(monitor->Watch());
  return monitor;
}

Monitor::~Monitor() = default;

base::Status Monitor::Watch() {
  lease_.watch = TRY(loop_->Add(lease_.socket.get(), EPOLLIN, [this](uint32_t) { OnLease(); }));
  signals_ = TRY(loop_->AddSignals({SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD},
                                   [this](const signalfd_siginfo& info) {
                                     if (info.ssi_signo == SIGTERM) {
                                       Stop(EndReason::kRequested, kGrace);
                                     }
                                   }));
  deadline_ = TRY(loop_->AddTimer([this] { OnDeadline(); }));
  lifetime_ = TRY(loop_->AddTimer([this] { Stop(EndReason::kLifetime, kGrace); },
                                  base::TimerClock::kWithSuspend));
  idle_ = TRY(
      loop_->AddTimer([this] { Stop(EndReason::kIdle, kGrace); }, base::TimerClock::kWithSuspend));
  drain_ = TRY(loop_->AddTimer([this] { OnProgramReceived(); }));
  return {};
}

base::Status Monitor::Run() {
  TRY(loop_->Run());
  if (ended_) {
    FromMonitor message;
    message.ended = *ended_;
    // The directory goes, or its lock, before anybody is told.
    vmm_.reset();
    run_.reset();
    AnswerAll(message);
  }
  return {};
}

// --- requests ------------------------------------------------------------------------------------

void Monitor::OnLease() {
  if (Serve(lease_)) return;
  lease_ = {};
  if (spec_.detached && phase_ != Phase::kStarting) return UpdateIdle();
  Stop(EndReason::kRequested, std::chrono::milliseconds(0));
}

void Monitor::OnClient(Clients::iterator client) {
  if (Serve(*client)) return;
  clients_.erase(client);
  UpdateIdle();
  EndIfReceived();
}

bool Monitor::Serve(Client& client) {
  std::vector<std::byte> buffer(kMaxMonitorPacket);
  auto received = base::ReceiveWithFds(client.socket.get(), buffer, /*nonblocking=*/true);
  if (!received) return received.error().sys_errno() == EAGAIN;
  if (received->size == 0) return false;
  FromMonitor complaint;
  if (received->truncated) {
    complaint.failure = {agent::FailureCode::kLimit, "the request is too long"};
  }
  const std::string_view text(reinterpret_cast<const char*>(buffer.data()), received->size);
  const auto message = ParseMessage(text, received->fds);
  if (!message) {
    complaint.failure = {agent::FailureCode::kInvalid, message.error().message()};
  } else if (message->version < kOldestMonitorVersion) {
    complaint.failure = {
        agent::FailureCode::kVersion,
        fmt::format("this sandbox speaks version {}, not {}", kMonitorVersion, message->version)};
  }
  if (complaint.failure) {
    Answer(client, complaint);
    return &client != &lease_;
  }
  Handle(client, *message, std::move(received->fds));
  return true;
}

void Monitor::Handle(Client& client, const ToMonitor& message, std::vector<UniqueFd> fds) {
  FromMonitor reply;
  if (message.start && &client == &lease_ && !run_) {
    const base::Status started = Start(*message.start, fds);
    if (!started) End(EndReason::kStartFailed, started.error().message());
    return;
  }
  if (message.connect_agent && fds.size() == 1 && run_ && phase_ != Phase::kStopping) {
    const base::Status connected = ConnectAgent(fds[0].get());
    if (connected) client.joined = client.joined || message.connect_agent->joins;
    if (connected) return;
    reply.failure = {agent::FailureCode::kSystem, connected.error().message()};
  } else if (message.stop) {
    return Stop(EndReason::kRequested, std::chrono::milliseconds(message.stop->grace_ms));
  } else if (message.received) {
    client.joined = false;
    return EndIfReceived();
  } else if (message.use) {
    client.in_use = message.use->in_use;
    return UpdateIdle();
  } else if (message.set_limits && run_ && !stop_reason_) {
    const base::Status changed = ChangeLimits(*message.set_limits);
    if (changed) reply.limits = state_.limits;
    if (!changed) reply.failure = {agent::FailureCode::kSystem, changed.error().message()};
  } else if (message.resume && vmm_) {
    const base::Status resumed = ResumeDisks();
    if (resumed) reply.resumed.emplace();
    if (!resumed) reply.failure = {agent::FailureCode::kSystem, resumed.error().message()};
  } else if ((message.connect_agent || message.set_limits) && stop_reason_) {
    reply.failure = {agent::FailureCode::kBusy, "the sandbox is being stopped"};
  } else {
    reply.failure = {agent::FailureCode::kUnsupported, "an unknown request, or one out of turn"};
  }
  if (reply.failure && message.set_limits) reply.of_limits = true;
  Answer(client, reply);
}

void Monitor::Answer(const Client& client, const FromMonitor& message) {
  const std::string text = base::json::Write(message);
  // A client that does not read loses the answer, not the sandbox.
  (void)::send(client.socket.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Monitor::AnswerAll(const FromMonitor& message) {
  for (const Client& client : clients_) Answer(client, message);
  Answer(lease_, message);
}

base::Status Monitor::Listen() {
  listener_ =
      TRY(base::ListenUnixAt(run_->fd(), kControlSocket, base::SocketType::kSeqPacket, 0600));
  listener_watch_ = TRY(loop_->Add(listener_.get(), EPOLLIN, [this](uint32_t) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) return OnAcceptFailed();
    const auto peer = base::GetPeerCredentials(socket.get());
    if (!peer || (peer->uid != 0 && peer->uid != ::geteuid())) return;
    if (clients_.size() >= kMaxClients) {
      FromMonitor refusal;
      refusal.failure = {agent::FailureCode::kLimit,
                         fmt::format("{} commands use this sandbox already", kMaxClients)};
      return Answer(Client(std::move(socket)), refusal);
    }
    const auto client = clients_.emplace(clients_.end(), std::move(socket));
    auto watch =
        loop_->Add(client->socket.get(), EPOLLIN, [this, client](uint32_t) { OnClient(client); });
    if (watch) {
      client->watch = *std::move(watch);
    } else {
      clients_.erase(client);
    }
    UpdateIdle();
  }));
  log_again_ = TRY(loop_->AddTimer([this] { program_->ResumeOutput(); }));
  accept_again_ = TRY(loop_->AddTimer([this] { listener_watch_.SetEvents(EPOLLIN); }));
  return {};
}

// Without descriptors or memory: whoever waits is served when there may be some again.
void Monitor::OnAcceptFailed() {
  if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) return;
  listener_watch_.SetEvents(0);
  accept_again_.Arm(std::chrono::seconds(1));
}

// --- events --------------------------------------------------------------------------------------

bool Monitor::Apply(Happening happening) {
  const auto next = Next(phase_, happening);
  if (!next) return false;
  phase_ = *next;
  // Of the end there is more to say, by End.
  if (phase_ == Phase::kEnded) return true;
  const base::Status written = WriteState();
  if (!written) LOG(kWarning, "cannot record the state: {}", written.error().message());
  return true;
}

base::Status Monitor::WriteState() {
  state_.phase = phase_;
  return run_->WriteState(state_);
}

base::Status Monitor::CheckLimits(const SetLimits& limits) {
  constexpr uint64_t kDay = 86'400'000;
  for (const auto& limit : {limits.lifetime_ms, limits.idle_ms}) {
    if (limit.value_or(0) <= kMaxLimitMs) continue;
    return base::Fail(ErrorCode::kInvalid, "a limit of {} ms is too long: at most {} days", *limit,
                      kMaxLimitMs / kDay);
  }
  return {};
}

void Monitor::ApplyLimits(const SetLimits& limits) {
  const auto or_none = [](uint64_t ms) { return ms == 0 ? std::nullopt : std::optional(ms); };
  if (limits.lifetime_ms) {
    state_.limits.lifetime_ms = or_none(*limits.lifetime_ms);
    state_.limits.lifetime_ends_ms.reset();
    lifetime_.Disarm();
  }
  if (limits.lifetime_ms && *limits.lifetime_ms != 0) {
    const auto ms = static_cast<int64_t>(*limits.lifetime_ms);
    state_.limits.lifetime_ends_ms = WallClockMs() + ms;
    lifetime_.Arm(std::chrono::milliseconds(ms));
  }
  if (limits.idle_ms) {
    state_.limits.idle_ms = or_none(*limits.idle_ms);
    idle_.Disarm();
    UpdateIdle();
  }
}

base::Status Monitor::ChangeLimits(const SetLimits& limits) {
  TRY(CheckLimits(limits));
  ApplyLimits(limits);
  return WriteState();
}

void Monitor::UpdateIdle() {
  const bool used =
      (lease_.socket.valid() && lease_.in_use) || std::ranges::any_of(clients_, &Client::in_use);
  // A stop that was asked for has its own grace.
  const bool counts = state_.limits.idle_ms && ready_ && !stop_reason_;
  if (!counts || used) return idle_.Disarm();
  if (!idle_.armed()) idle_.Arm(std::chrono::milliseconds(*state_.limits.idle_ms));
}

base::Status Monitor::MoveTo(int cpu) {
  const auto pin = [this](int to) -> base::Status {
    TRY(PinProcesses(vmm_->child().pid, to));
    return PinProcesses(kernel_->child.pid, to);
  };
  const base::Status moved = pin(cpu);
  if (!moved) {
    (void)pin(*placement_->cpu());
    return moved;
  }
  // A guest process that was just being forked may have been missed. The guest's kernel forks one
  // at a time: when it answers, it is past that fork.
  agent_->SendPing([this, pin](const agent::Answer<void>& answer) {
    if (answer && !ended_) (void)pin(*placement_->cpu());
  });
  return {};
}

void Monitor::OnOutput(LogStream stream, std::string_view data) {
  constexpr size_t kEntryBytes = 128;  // what each costs, however short
  program_log_->Append(stream, data);
  log_rate_.Spend(data.size() + kEntryBytes);
  const std::chrono::nanoseconds wait = log_rate_.Wait();
  // Once it is being stopped, what is left is at most what the guest may keep: no need to wait.
  if (wait.count() == 0 || log_again_.armed() || stop_reason_) return;
  program_->PauseOutput();
  log_again_.Arm(wait);
}

void Monitor::OnProgramFailed(const agent::Failure& failure) {
  if (failure.code == agent::FailureCode::kDisconnected) {
    // The guest is gone, and its status says next why; or its agent misbehaves.
    drain_.Arm(kDrain);
    return;
  }
  const std::string message = base::EscapeForTerminal(failure.message.data);
  if (ready_) return End(EndReason::kGuestEnded, "the guest lost its program: " + message, true);
  program_code_ = agent::ExitCodeOf(failure.code);
  program_refusal_ = failure.code;
  End(EndReason::kStartFailed, message);
}

void Monitor::OnProgramExit(const agent::Exited& exited) {
  program_code_ = exited.ShellCode();
  program_end_ = exited.signaled ? fmt::format("its program was killed by signal {}", exited.value)
                                 : fmt::format("its program ended with code {}", exited.value);
  if (exited.out_of_memory) {
    program_end_ = "its program was killed: the sandbox has no memory left (raise --memory)";
  }
  if (!spec_.ends_with_program) return GoOnWithoutProgram();
  drain_.Arm(kDrain);
  EndIfReceived();
}

void Monitor::GoOnWithoutProgram() {
  state_.program_end = ProgramEnd{*program_code_, program_end_, WallClockMs()};
  program_log_->Finish();
  const base::Status written = WriteState();
  if (!written) LOG(kWarning, "cannot record the program's end: {}", written.error().message());
}

void Monitor::EndIfReceived() {
  const bool reading = std::ranges::any_of(clients_, &Client::joined);
  if (program_code_ && drain_.armed() && !reading) OnProgramReceived();
}

void Monitor::OnProgramReceived() {
  drain_.Disarm();
  if (!program_code_) return End(EndReason::kGuestEnded, "the guest lost its program", true);
  if (stop_reason_) return End(*stop_reason_, StopMessage());
  if (spec_.temporary) return End(EndReason::kProgramEnded, program_end_);
  Stop(EndReason::kProgramEnded, std::chrono::milliseconds(0));
}

void Monitor::OnVmmEvent(const vmm::FromVmm& event) {
  switch (event.event) {
    case vmm::VmmEvent::kGuestBroken:
    case vmm::VmmEvent::kDiskFailed:
      vmm_complaint_ = base::EscapeForTerminal(event.message.value_or("no reason given"));
      return;  // msb-vmm ends now
    case vmm::VmmEvent::kDiskFull:
      // It is tried again every second; more often is no disk's doing.
      if (!disk_events_.Allow()) return End(EndReason::kVmmEnded, "msb-vmm plays with its disk");
      disk_full_ = true;
      Apply(Happening::kDiskFull);
      return Notice("the host's disk is full: the sandbox waits until there is room");
    case vmm::VmmEvent::kDiskResumed:
      disk_full_ = false;
      Apply(Happening::kDiskRoom);
      return Notice("the host's disk has room again: the sandbox goes on");
    default:
      return;
  }
}

void Monitor::Notice(const char* line) {
  if (!notices_.Allow()) return;
  FromMonitor message;
  message.notice = line;
  Answer(lease_, message);
}

void Monitor::OnKernelStatus() {
  int status = 0;
  const auto got =
      base::ReadFull(kernel_->status.get(), std::as_writable_bytes(std::span(&status, 1)));
  const std::string how = got ? DescribeKernelStatus(status) : "was killed";
  const bool powered_off = got && status == 0;
  if (stop_reason_ && powered_off) return End(*stop_reason_, StopMessage());
  if (powered_off) return End(EndReason::kGuestEnded, "the guest powered off");
  End(EndReason::kGuestEnded, "the guest kernel " + how, true);
}

base::Status Monitor::ResumeDisks() {
  for (uint32_t disk = 0; disk < spec_.disks.size(); ++disk) {
    if (spec_.disks[disk].read_only) continue;
    vmm::ToVmm message;
    message.resume = {disk};
    TRY(vmm_->Send(message, {}));
  }
  return {};
}

}  // namespace msb::sandbox
