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
#include "src/sandbox/run_directory.h"

namespace msb::cli {
namespace {

// How long a monitor may take to clean up before we leave without having seen it done.
constexpr std::chrono::seconds kPatience{10};
constexpr size_t kInputPiece = 64 * 1024;

// Where the time goes, with --debug.
void Mark(const char* phase) {
  LOG(kDebug, "{:.1f} ms {}", static_cast<double>(base::MonotonicNanos()) / 1e6, phase);
}

}  // namespace

Session::Session(std::unique_ptr<base::EventLoop> loop) : loop_(std::move(loop)) {
  const auto drained = [this] { OnDrained(); };
  const auto failed = [this](int error) {
    // Nobody reads any more: what a shell's pipeline does with its programs.
    if (error == EPIPE) return Finish(128 + SIGPIPE);
    terminal_.Leave();
    Complain("cannot write the program's output: " + base::ErrnoText(error));
    Finish(kOwnFailure);
  };
  stdout_ = std::make_unique<Output>(*loop_, STDOUT_FILENO, drained, failed);
  stderr_ = std::make_unique<Output>(*loop_, STDERR_FILENO, drained, failed);
}

base::Result<std::unique_ptr<Session>> Session::Create() {
  std::unique_ptr<Session> session(new Session(TRY(base::EventLoop::Create())));
  session->patience_ = TRY(session->loop_->AddTimer([raw = session.get()] {
    raw->Complain("the sandbox's monitor does not end");
    raw->sandbox_gone_ = true;
    raw->loop_->Stop();
  }));
  return session;
}

base::Result<int> Session::Run(sandbox::SandboxSpec spec, std::vector<base::UniqueFd> files,
                               agent::Exec exec) {
  interactive_ = IsInteractive();
  if (interactive_) exec.pty = CurrentWindowSize();
  exec.stdin_mode = agent::StdinMode::kStream;
  TRY(WatchSignals());

  base::Pair stream = TRY(base::MakeSocketPair(base::SocketType::kStream));
  spec.streams = {static_cast<uint32_t>(files.size())};
  files.push_back(std::move(stream.second));
  std::vector<int> fds;
  for (const base::UniqueFd& file : files) fds.push_back(file.get());
  Mark("starting the monitor");
  lease_ = TRY(sandbox::Lease::Start(
      *loop_, spec, fds,
      {.on_running =
           [](const sandbox::Running& running) {
             LOG(kDebug, "root set up in {} us, {} us after the guest kernel's start",
                 running.configure_us, running.guest_uptime_us);
             Mark("guest ready");
           },
       .on_notice = [](const std::string& line) { LOG(kWarning, "{}", line); },
       .on_ended = [this](const sandbox::Ended& ended) { OnEnded(ended); }}));
  files.clear();
  attachment_ = TRY(agent::Attachment::Execute(
      *loop_, std::move(stream.first), exec,
      {.on_started =
           [this](const agent::Started&) {
             Mark("program started");
             started_ = true;
             if (interactive_) terminal_.Enter();
           },
       .on_stdout = [this](std::string_view data) { OnOutput(*stdout_, data); },
       .on_stderr = [this](std::string_view data) { OnOutput(*stderr_, data); },
       .on_extra = {},
       .on_end = {},
       .on_dropped = {},
       .on_writable = [this](unsigned) { PumpInput(); },
       .on_exit = [this](const agent::Exited& exited) { OnExit(exited); },
       .on_failed = [this](const agent::Failure& failure) { OnFailed(failure); }}));
  TRY(WatchInput());
  sandbox::SweepRunDirectories();  // while the guest boots
  TRY(loop_->Run());
  terminal_.Leave();
  Mark("gone");
  return code_.value_or(kOwnFailure);
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
    if (interactive_) terminal_.Enter();  // whoever stopped us may have changed the terminal
    return;
  }
  if (signal == SIGWINCH) {
    if (interactive_) attachment_->Resize(CurrentWindowSize());
    return;
  }
  // The terminal is gone: so is whoever would read.
  if (signal == SIGHUP && interactive_) return Finish(128 + SIGHUP);
  if (!started_) return Finish(128 + signal);  // there is no program yet that could take it
  if (signal == SIGTERM && std::exchange(terminated_once_, true)) return Finish(128 + SIGKILL);
  if ((signal == SIGINT || signal == SIGQUIT) && IsInsistent()) return Finish(128 + SIGKILL);
  attachment_->Signal(signal, /*group=*/interactive_);
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
  if (room == 0) {
    if (input_watch_.active()) input_watch_.SetEvents(0);  // on_writable goes on
    return;
  }
  const ssize_t got = ::read(STDIN_FILENO, buffer.data(), room);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    input_ended_ = true;
    input_watch_.Reset();
    // With a pty an end of file is the terminal's hang-up.
    if (interactive_) return Finish(128 + SIGHUP);
    attachment_->CloseStdin();
    return;
  }
  attachment_->WriteStdin(std::string_view(buffer.data(), static_cast<size_t>(got)));
}

void Session::PumpInput() {
  if (input_ended_ || code_) return;
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
  Finish(exited.ShellCode());
}

void Session::OnFailed(const agent::Failure& failure) {
  // The guest is gone: the monitor knows why, and says so next.
  if (failure.code == agent::FailureCode::kDisconnected && !sandbox_gone_) {
    patience_.Arm(kPatience);
    return;
  }
  terminal_.Leave();
  Complain(base::EscapeForTerminal(failure.message.data));
  Finish(agent::ExitCodeOf(failure.code));
}

void Session::OnEnded(const sandbox::Ended& ended) {
  sandbox_gone_ = true;
  if (!code_) {
    terminal_.Leave();
    if (!ended.guest_log.empty()) {
      Complain("the guest kernel's last lines:");
      std::string_view log = ended.guest_log.data;
      while (!log.empty()) {
        const size_t end = std::min(log.find('\n'), log.size());
        const std::string line = "guest: " + base::EscapeForTerminal(log.substr(0, end)) + "\n";
        (void)base::WriteFull(STDERR_FILENO, line);
        log.remove_prefix(std::min(end + 1, log.size()));
      }
    }
    Complain(ended.message);
    code_ = kOwnFailure;
  }
  loop_->Stop();
}

void Session::Finish(int code) {
  if (code_) return;
  code_ = code;
  Mark("program ended");
  input_watch_.Reset();
  if (sandbox_gone_) return loop_->Stop();
  lease_->Stop(/*grace_ms=*/0);
  patience_.Arm(kPatience);
}

void Session::Complain(const std::string& line) {
  const std::string text = "msb: error: " + line + "\n";
  (void)base::WriteFull(STDERR_FILENO, text);
}

}  // namespace msb::cli
