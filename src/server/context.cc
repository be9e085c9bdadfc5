#include "src/server/context.h"

#include <signal.h>

#include "src/base/bytes.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc23-extensions"
constexpr char kPythonDriver[] = {
#embed "../../guest/repl/python.py"
};
constexpr char kNodeDriver[] = {
#embed "../../guest/repl/node.js"
};
#pragma clang diagnostic pop

constexpr uint32_t kDriverVersion = 1;
constexpr const char* kDriverDirectory = "/run/msb";
constexpr size_t kMaxLastWords = 4 * 1024;

struct DriverKind {
  std::string_view language;
  const char* program;
  const char* file;
  std::string_view content;
  const char* advice;
};

const DriverKind& KindOf(Language language) {
  static const DriverKind kKinds[] = {
      {"python",
       "python3",
       "/run/msb/python.py",
       {kPythonDriver, sizeof(kPythonDriver)},
       "use an image with Python 3.8 or newer, such as microsandbox/python"},
      {"node",
       "node",
       "/run/msb/node.js",
       {kNodeDriver, sizeof(kNodeDriver)},
       "use an image with Node 16 or newer, such as microsandbox/node"},
  };
  return kKinds[static_cast<size_t>(language)];
}

}  // namespace

std::string_view NameOf(Language language) { return KindOf(language).language; }

base::Result<Language> ParseLanguage(std::string_view name) {
  if (name == "python") return Language::kPython;
  if (name == "node" || name == "nodejs" || name == "javascript") return Language::kNode;
  return Fail(ErrorCode::kInvalid, "language: {} is not one of python, node, nodejs and javascript",
              base::EscapeForTerminal(name.substr(0, 64)));
}

// What one run needs to know of itself.
struct Context::Running {
  RunReport& report;
  Cancellation& cancellation;
  uint64_t id = 0;
  std::optional<double> timeout_s = {};
  Clock::time_point deadline = Clock::time_point::max();
  // Why it is being stopped, if it is.
  std::optional<api::RunEnd> stopping = {};
  Clock::time_point press_again = Clock::time_point::max();
  Clock::time_point kill_at = Clock::time_point::max();
  bool listener_gone = false;
  std::optional<int32_t> exit_code = {};

  // The client may have gone: then what comes is read on, for the code to end, and dropped.
  void Note(const base::Status& taken) { listener_gone = listener_gone || !taken; }
};

Context::Context(Guest& guest, Language language, std::string name, agent::Exec process,
                 std::string image)
    : guest_(guest),
      language_(language),
      name_(std::move(name)),
      process_(std::move(process)),
      image_(std::move(image)),
      lock_(guest.loop().executor()) {}

api::ContextInfo Context::Info() const {
  return {.context = name_,
          .language = std::string(NameOf(language_)),
          .language_version = language_version_,
          .busy = lock_.held(),
          .runs = runs_};
}

// --- start ---------------------------------------------------------------------------------------

Async<base::Status> Context::Start(Cancellation& cancellation) {
  const Lock::Guard guard = co_await lock_.Acquire(cancellation);
  if (!guard) co_return Fail(ErrorCode::kClosed, "the client has gone");
  co_return co_await EnsureDriver(cancellation);
}

Async<base::Status> Context::EnsureDriver(Cancellation& cancellation) {
  if (driver_ && !driver_->ended()) co_return base::Status();
  driver_.reset();
  CO_TRY(co_await PutDriverFile(cancellation));
  agent::Exec exec = process_;
  exec.id = agent::NewProcessId();
  exec.argv = {KindOf(language_).program, KindOf(language_).file};
  exec.pty.reset();
  exec.stdin_mode = agent::StdinMode::kNone;
  exec.unattached = agent::WhenUnattached::kKill;
  exec.output = agent::OutputPolicy::kBlock;
  exec.extra_streams = 1;
  CO_TRY(driver_, Driver::Start(guest_, exec));
  const base::Status greeted = co_await WaitForHello(cancellation);
  if (!greeted) driver_.reset();
  co_return greeted;
}

// Again for each process: what is in the guest is the guest's, and may have been changed.
Async<base::Status> Context::PutDriverFile(Cancellation& cancellation) {
  agent::MakeDirectory make;
  make.path = kDriverDirectory;
  make.parents = true;
  CO_TRY(co_await guest_.MakeDirectory(std::move(make)));
  agent::WriteFile write;
  write.path = KindOf(language_).file;
  write.mode = 0644;
  CO_TRY([[maybe_unused]] const auto status,
         co_await guest_.WriteFile(std::move(write), std::string(KindOf(language_).content),
                                   cancellation));
  co_return base::Status();
}

Async<base::Status> Context::WaitForHello(Cancellation& cancellation) {
  const Clock::time_point deadline = Clock::now() + kStartPatience;
  const Cancellation::Watch watch(cancellation, [this] { driver_->Wake(); });
  std::string said;
  while (Clock::now() < deadline && !cancellation.cancelled()) {
    const auto item = co_await driver_->Next(deadline);
    if (!item) continue;
    if (const auto* ended = std::get_if<Driver::Ended>(&*item))
      co_return StartFailure(*ended, said);
    if (const auto* raw = std::get_if<Driver::RawOutput>(&*item)) {
      said += raw->data.substr(0, kMaxLastWords - std::min(said.size(), kMaxLastWords));
      continue;
    }
    const auto& hello = std::get<repl::FromDriver>(*item).hello;
    if (!hello) continue;
    if (hello->version < kDriverVersion || hello->oldest > kDriverVersion) {
      co_return Fail(ErrorCode::kProtocol, "the context's driver speaks another version");
    }
    interrupts_by_signal_ = hello->interrupt == "signal";
    language_version_ = ToUtf8(hello->language_version.substr(0, 64));
    driver_->Ignore();  // until it runs something
    co_return base::Status();
  }
  if (cancellation.cancelled()) co_return Fail(ErrorCode::kClosed, "the client has gone");
  co_return Fail(ErrorCode::kTimeout, "{} in the sandbox did not get ready within {} s",
                 KindOf(language_).program, kStartPatience.count());
}

base::Error Context::StartFailure(const Driver::Ended& ended, std::string_view said) const {
  const DriverKind& kind = KindOf(language_);
  if (ended.failed) return *ended.failed;
  if (ended.missing) {
    return Fail(ErrorCode::kInvalid, "image {} has no {} program: {}", image_, kind.program,
                kind.advice);
  }
  return Fail(ErrorCode::kSystem, "{} in the sandbox cannot run code: it {}{}{}; {}", kind.program,
              ended.how, said.empty() ? "" : ": ",
              base::EscapeForTerminal(said.substr(0, said.find_last_not_of('\n') + 1)),
              kind.advice);
}

// --- run -----------------------------------------------------------------------------------------

Async<base::Result<api::RunEnd>> Context::Run(std::string code, std::optional<double> timeout_s,
                                              RunReport& report, Cancellation& cancellation) {
  if (code.size() > repl::kMaxCode) {
    co_return Fail(ErrorCode::kInvalid, "code: {} bytes; at most {} MiB", code.size(),
                   repl::kMaxCode >> 20);
  }
  const Lock::Guard guard = co_await lock_.Acquire(cancellation);
  if (!guard || cancellation.cancelled()) co_return Fail(ErrorCode::kClosed, "the client has gone");
  CO_TRY(co_await EnsureDriver(cancellation));
  Running run{.report = report, .cancellation = cancellation};
  run.id = next_id_++;
  run.timeout_s = timeout_s;
  run.deadline = DeadlineIn(timeout_s);
  interrupt_wanted_ = false;
  ++runs_;
  driver_->Listen();
  driver_->Send(
      {.run = repl::Run{.id = run.id, .code = std::move(code), .echo = true}, .interrupt = {}});
  auto end = co_await Follow(run);
  driver_->Ignore();
  if (end && *end == api::RunEnd::kTimeout) {
    run.Note(co_await report.Remark(
        fmt::format("Error: Evaluation timeout after {} seconds", *timeout_s)));
  }
  run.Note(co_await report.Finish());
  if (run.listener_gone || cancellation.cancelled()) {
    co_return Fail(ErrorCode::kClosed, "the client has gone");
  }
  co_return end;
}

Async<base::Result<api::RunEnd>> Context::Follow(Running& run) {
  const Cancellation::Watch watch(run.cancellation, [this] { driver_->Wake(); });
  for (;;) {
    CO_TRY(co_await Press(run));
    const auto until = std::min({run.deadline, run.press_again, run.kill_at});
    const auto item = co_await driver_->Next(until);
    if (!item) continue;
    if (const auto* ended = std::get_if<Driver::Ended>(&*item)) {
      co_return co_await OnEnded(run, *ended);
    }
    if (const auto* raw = std::get_if<Driver::RawOutput>(&*item)) {
      if (!run.listener_gone) run.Note(co_await run.report.Output(raw->stream, raw->data));
      continue;
    }
    const auto end = co_await Take(run, std::get<repl::FromDriver>(*item));
    if (end) co_return *end;
  }
}

// The end, if the message is that.
Async<std::optional<api::RunEnd>> Context::Take(Running& run, repl::FromDriver message) {
  RunReport& report = run.report;
  if (message.done && message.done->id == run.id) {
    if (run.stopping) co_return *run.stopping;
    if (message.done->status == "interrupted") co_return api::RunEnd::kInterrupted;
    co_return message.done->status == "error" ? api::RunEnd::kError : api::RunEnd::kOk;
  }
  if (message.exit) run.exit_code = message.exit->code;
  if (run.listener_gone) co_return std::nullopt;
  // What belongs to no run, or to one that has ended, is nobody's.
  if (message.output && message.output->id == run.id) {
    run.Note(co_await report.Output(OutputStreamOf(message.output->stream),
                                    std::move(message.output->data.data)));
  } else if (message.display && message.display->id == run.id) {
    run.Note(co_await report.Show(*std::move(message.display)));
  } else if (message.error && message.error->id == run.id) {
    run.Note(co_await report.Except(*std::move(message.error)));
  }
  co_return std::nullopt;
}

Async<base::Result<api::RunEnd>> Context::OnEnded(Running& run, const Driver::Ended& ended) {
  if (ended.disconnected()) co_return *ended.failed;
  if (!run.listener_gone) {
    const std::string how =
        run.exit_code ? fmt::format("exited with code {}", *run.exit_code) : ended.how;
    run.Note(co_await run.report.Remark(
        fmt::format("Error: the context has ended: its process {}. Its variables are gone; the "
                    "next run starts a new one.",
                    how)));
  }
  co_return run.stopping == api::RunEnd::kTimeout ? api::RunEnd::kTimeout : api::RunEnd::kExited;
}

// --- interrupt -----------------------------------------------------------------------------------

// Whatever is due: the first interrupt, the second, the kill.
Async<base::Status> Context::Press(Running& run) {
  const Clock::time_point now = Clock::now();
  if (!run.stopping) {
    if (run.cancellation.cancelled() || run.listener_gone || interrupt_wanted_) {
      run.stopping = api::RunEnd::kInterrupted;
    } else if (now >= run.deadline) {
      run.stopping = api::RunEnd::kTimeout;
    } else {
      co_return base::Status();
    }
    run.deadline = Clock::time_point::max();
    run.press_again = now + kInterruptAgain;
    run.kill_at = now + kInterruptGrace;
    co_return co_await SendInterrupt(run.id);
  }
  if (now >= run.kill_at) {
    Kill("it did not stop when it was interrupted");
  } else if (now >= run.press_again) {
    run.press_again = Clock::time_point::max();
    co_return co_await SendInterrupt(run.id);
  }
  co_return base::Status();
}

Async<base::Status> Context::SendInterrupt(uint64_t id) {
  if (!interrupts_by_signal_) {
    driver_->Send({.run = {}, .interrupt = repl::Interrupt{id}});
    co_return base::Status();
  }
  const base::Status sent =
      co_await guest_.Signal({.id = driver_->process_id(), .signal = SIGINT, .group = true});
  // One that has just ended says so itself.
  if (!sent && sent.error().code() != ErrorCode::kNotFound) co_return sent;
  co_return base::Status();
}

void Context::Interrupt() {
  if (!lock_.held() || !driver_) return;
  interrupt_wanted_ = true;
  driver_->Wake();
}

void Context::Kill(const std::string& why) {
  if (driver_) driver_->Kill(why);
}

}  // namespace msb::server
