#include "src/cli/session.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "src/base/bytes.h"
#include "src/base/log.h"
#include "src/base/sys.h"
#include "src/cli/exit_codes.h"

namespace msb::cli {
namespace {

// How long a monitor may take to clean up before we leave without having seen it done.
constexpr std::chrono::seconds kPatience{10};
constexpr size_t kInputPiece = 64 * 1024;

}  // namespace

void Mark(const char* phase) {
  LOG(kDebug, "{:.1f} ms {}", static_cast<double>(base::MonotonicNanos()) / 1e6, phase);
}

void PrintEnd(const sandbox::Ended& ended) {
  std::string text;
  std::string_view log = ended.guest_log.data;
  if (!log.empty()) text += "msb: error: the guest kernel's last lines:\n";
  while (!log.empty()) {
    const size_t end = std::min(log.find('\n'), log.size());
    text += "guest: " + base::EscapeForTerminal(log.substr(0, end)) + "\n";
    log.remove_prefix(std::min(end + 1, log.size()));
  }
  text += "msb: error: " + ended.message + "\n";
  (void)base::WriteFull(STDERR_FILENO, text);
}

Session::Session(Style style, std::unique_ptr<base::EventLoop> loop)
    : style_(style),
      raw_(style.input && style.terminal && ::isatty(STDIN_FILENO) == 1),
      loop_(std::move(loop)) {
  const auto drained = [this] { OnDrained(); };
  const auto failed = [this](int error) {
    // Nobody reads any more: what a shell's pipeline does with its programs.
    if (error == EPIPE) return Finish(128 + SIGPIPE);
    Fail("cannot write the program's output: " + base::ErrnoText(error));
  };
  stdout_ = std::make_unique<Output>(*loop_, STDOUT_FILENO, drained, failed);
  stderr_ = std::make_unique<Output>(*loop_, STDERR_FILENO, drained, failed);
}

base::Result<std::unique_ptr<Session>> Session::Create(Style style) {
  std::unique_ptr<Session> session(new Session(style, TRY(base::EventLoop::Create())));
  session->patience_ = TRY(session->loop_->AddTimer([raw = session.get()] {
    raw->terminal_.Leave();
    raw->Complain(raw->code_ ? "the sandbox's monitor does not end"
                             : "the connection to the sandbox broke");
    raw->loop_->Stop();
  }));
  TRY(session->WatchSignals());
  return session;
}

base::Result<int> Session::Run(base::UniqueFd stream,
                               std::variant<agent::Exec, agent::Attach> request) {
  if (auto* exec = std::get_if<agent::Exec>(&request)) {
    if (style_.terminal) exec->pty = CurrentWindowSize();
    exec->stdin_mode = style_.input ? agent::StdinMode::kStream : agent::StdinMode::kNone;
    attachment_ = TRY(agent::Attachment::Execute(*loop_, std::move(stream), *exec, Callbacks()));
  } else {
    attachment_ = TRY(agent::Attachment::Reattach(*loop_, std::move(stream),
                                                  std::get<agent::Attach>(request), Callbacks()));
  }
  if (style_.input) TRY(WatchInput());
  TRY(loop_->Run());
  terminal_.Leave();
  Mark("gone");
  return code_.value_or(kOwnFailure);
}

agent::Attachment::Callbacks Session::Callbacks() {
  return {.on_started = [this](const agent::Started&) { OnStarted(); },
          .on_stdout = [this](std::string_view data) { OnOutput(*stdout_, data); },
          .on_stderr = [this](std::string_view data) { OnOutput(*stderr_, data); },
          .on_extra = {},
          .on_end = {},
          .on_dropped = {},
          .on_writable = [this](unsigned) { PumpInput(); },
          .on_exit = [this](const agent::Exited& exited) { OnExit(exited); },
          .on_failed = [this](const agent::Failure& failure) { OnFailed(failure); }};
}

void Session::OnStarted() {
  Mark("program started");
  started_ = true;
  if (raw_) terminal_.Enter();
  // One that is joined has the size of another's terminal.
  if (style_.joins && style_.terminal) attachment_->Resize(CurrentWindowSize());
}

// --- signals -------------------------------------------------------------------------------------

base::Status Session::WatchSignals() {
  signals_ = TRY(loop_->AddSignals(
      {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGPIPE, SIGCONT},
      [this](const signalfd_siginfo& info) { OnSignal(static_cast<int>(info.ssi_signo)); }));
  return {};
}

void Session::OnSignal(int signal) {
  if (signal == SIGPIPE || code_ || !attachment_) return;
  if (signal == SIGCONT) {
    if (raw_) terminal_.Enter();  // whoever stopped us may have changed the terminal
    return;
  }
  if (signal == SIGWINCH) {
    if (style_.terminal) attachment_->Resize(CurrentWindowSize());
    return;
  }
  // The terminal is gone: so is whoever would read.
  if (signal == SIGHUP && raw_) return Finish(128 + SIGHUP);
  if (!started_) return Finish(128 + signal);  // there is no program yet that could take it
  if (signal == SIGTERM && std::exchange(terminated_once_, true)) return Finish(128 + SIGKILL);
  if ((signal == SIGINT || signal == SIGQUIT) && IsInsistent()) return Finish(128 + SIGKILL);
  attachment_->Signal(signal, /*group=*/style_.terminal);
}

bool Session::IsInsistent() {
  constexpr int64_t kWithin_ns = 2'000'000'000;
  constexpr size_t kTimes = 3;
  const int64_t now = base::MonotonicNanos();
  std::erase_if(interrupts_, [&](int64_t at) { return now - at > kWithin_ns; });
  interrupts_.push_back(now);
  return interrupts_.size() >= kTimes;
}

// --- input ---------------------------------------------------------------------------------------

base::Status Session::WatchInput() {
  auto watch = loop_->Add(STDIN_FILENO, EPOLLIN, [this](uint32_t) { OnInput(); });
  if (watch) {
    input_watch_ = *std::move(watch);
  } else if (watch.error().sys_errno() == EPERM) {
    input_always_ready_ = true;
    PumpInput();
  } else {
    input_ended_ = true;  // no standard input at all
    attachment_->CloseStdin();
  }
  return {};
}

void Session::OnInput() {
  std::array<char, kInputPiece> buffer;
  const size_t room = std::min(attachment_->Writable(agent::kStdin), buffer.size());
  if (room == 0 || !kept_input_.empty()) {
    if (input_watch_.active()) input_watch_.SetEvents(0);  // on_writable goes on
    return;
  }
  const ssize_t got = ::read(STDIN_FILENO, buffer.data(), room);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    input_ended_ = true;
    input_watch_.Reset();
    // With a pty an end of file is the terminal's hang-up.
    if (raw_) return Finish(128 + SIGHUP);
    attachment_->CloseStdin();
    return;
  }
  OnTyped(std::string_view(buffer.data(), static_cast<size_t>(got)));
}

void Session::OnTyped(std::string_view typed) {
  if (!raw_ || !style_.joins) {
    attachment_->WriteStdin(typed);  // there is room for it
    return;
  }
  bool left = false;
  // A key that was held back may make it longer than what was read.
  kept_input_ = detach_keys_.Filter(typed, left);
  kept_input_.erase(0, attachment_->WriteStdin(kept_input_));
  if (left) Finish(0);
}

void Session::PumpInput() {
  if (input_ended_ || code_) return;
  kept_input_.erase(0, attachment_->WriteStdin(kept_input_));
  if (!kept_input_.empty()) return;
  if (input_watch_.active()) return input_watch_.SetEvents(EPOLLIN);
  if (!input_always_ready_) return;
  while (!input_ended_ && attachment_->Writable(agent::kStdin) > 0) OnInput();
}

// --- output --------------------------------------------------------------------------------------

void Session::OnOutput(Output& output, std::string_view data) {
  output.Write(data);
  if (output.full()) attachment_->PauseOutput();
}

void Session::OnDrained() {
  if (stdout_->full() || stderr_->full()) return;
  if (attachment_) attachment_->ResumeOutput();
}

// --- the end -------------------------------------------------------------------------------------

void Session::OnExit(const agent::Exited& exited) {
  if (exited.out_of_memory) {
    terminal_.Leave();
    Complain("the program was killed: the sandbox has no memory left (raise --memory)");
  }
  if (received_) release_ = received_;
  Finish(exited.ShellCode());
}

void Session::OnFailed(const agent::Failure& failure) {
  if (failure.code != agent::FailureCode::kDisconnected) {
    terminal_.Leave();
    Complain(base::EscapeForTerminal(failure.message.data));
    return Finish(agent::ExitCodeOf(failure.code));
  }
  // The guest is gone: the monitor knows why, and says so next.
  stream_gone_ = true;
  if (ended_) return Conclude(*ended_);
  patience_.Arm(kPatience);
}

void Session::SandboxStopping(sandbox::EndReason reason) {
  if (reason != sandbox::EndReason::kRequested) limit_ = reason;
}

void Session::SandboxEnded(const sandbox::Ended& ended) {
  ended_ = ended;
  if (code_) return loop_->Stop();
  // The program's last words, and how it ended, may still be on their way.
  if (stream_gone_ || !attachment_) Conclude(ended);
}

void Session::Conclude(const sandbox::Ended& ended) {
  if (code_) return;
  terminal_.Leave();
  PrintEnd(ended);
  code_ = ended.exit_code;
  loop_->Stop();
}

void Session::Fail(const std::string& message) {
  if (code_) return;
  terminal_.Leave();
  Complain(message);
  Finish(kOwnFailure);
}

void Session::Finish(int code) {
  if (code_) return;
  constexpr int kLimitReached = 124;
  code_ = code;
  if (limit_) {
    code_ = kLimitReached;
    terminal_.Leave();
    Complain(*limit_ == sandbox::EndReason::kLifetime ? "the sandbox's lifetime is over"
                                                      : "the sandbox was idle for too long");
  }
  Mark("program ended");
  input_watch_.Reset();
  if (ended_ || !release_) return loop_->Stop();
  release_();
  patience_.Arm(kPatience);
}

void Session::Complain(const std::string& line) {
  const std::string text = "msb: error: " + line + "\n";
  (void)base::WriteFull(STDERR_FILENO, text);
}

}  // namespace msb::cli
