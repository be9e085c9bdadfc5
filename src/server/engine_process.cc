// The engine's part about processes that outlive a call. The agent keeps them, and what they wrote;
// a server that is started anew finds them there.

#include "src/base/bytes.h"
#include "src/sandbox/signal_name.h"
#include "src/server/backlog.h"
#include "src/server/config.h"
#include "src/server/engine.h"
#include "src/server/process_plan.h"
#include "src/server/text.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

base::Status CheckProcessId(const std::string& id) {
  const bool good = id.size() == agent::kProcessIdDigits &&
                    id.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (good) return {};
  return Fail(ErrorCode::kNotFound, "process: there is no process {} (sandbox.process.list)",
              base::EscapeForTerminal(id.substr(0, 64)));
}

api::ProcessEnd EndOf(const agent::Exited& exited) {
  api::ProcessEnd end;
  end.exit_code = exited.ShellCode();
  if (exited.signaled) end.signal = static_cast<int>(exited.value & 0x7f);
  end.out_of_memory = exited.out_of_memory;
  return end;
}

api::ProcessEnd StillRunning() {
  api::ProcessEnd end;
  end.running = true;
  return end;
}

base::Result<std::string> InputOf(const api::ProcessWriteParams& params) {
  if (params.text && params.base64) {
    return Fail(ErrorCode::kInvalid, "text and base64 cannot both be given: leave one out");
  }
  if (!params.text && !params.base64 && !params.eof) {
    return Fail(ErrorCode::kInvalid, "one of text, base64 and eof must be given");
  }
  if (!params.base64) return params.text.value_or("");
  auto data = base::Base64Decode(*params.base64);
  if (!data) return Fail(ErrorCode::kInvalid, "base64: it is not valid base64");
  return *std::move(data);
}

// A stream of a process's output, from wherever it is to begin.
class Follower {
 public:
  static constexpr size_t kMaxWaiting = kStreamBytes;

  explicit Follower(Loop& loop) : loop_(loop), changed_(loop.executor()) {}

  base::Status Attach(Guest& guest, const api::ProcessAttachParams& params) {
    agent::Attach attach;
    attach.id = params.process;
    attach.offsets = {{agent::kStdout, params.stdout_offset},
                      {agent::kStderr, params.stderr_offset}};
    agent::Attachment::Callbacks callbacks;
    callbacks.on_started = [this](const agent::Started& started) {
      for (const agent::StreamOffset& begin : started.offsets) {
        if (begin.stream == agent::kStdout || begin.stream == agent::kStderr) {
          offsets_[begin.stream - agent::kStdout] = begin.offset;
        }
      }
    };
    callbacks.on_stdout = [this](std::string_view data) { Push(OutputStream::kStdout, data); };
    callbacks.on_stderr = [this](std::string_view data) { Push(OutputStream::kStderr, data); };
    callbacks.on_dropped = [this](unsigned stream, uint64_t bytes) { OnDropped(stream, bytes); };
    callbacks.on_exit = [this](const agent::Exited& exited) {
      exited_ = exited;
      changed_.Set();
    };
    callbacks.on_failed = [this](const agent::Failure& failure) {
      failed_ = ErrorOf(failure);
      changed_.Set();
    };
    attachment_ = TRY(agent::Attachment::Reattach(loop_.events(), TRY(guest.NewStream()), attach,
                                                  std::move(callbacks)));
    return {};
  }

  Async<base::Result<agent::Exited>> Follow(Sink& sink, Cancellation& cancellation) {
    const Cancellation::Watch watch(cancellation, [this] { changed_.Set(); });
    for (;;) {
      changed_.Clear();
      while (!events_.empty() && !cancellation.cancelled()) {
        CO_TRY(co_await sink.Put(events_.Pop()));
      }
      if (events_.HasRoomAgain()) attachment_->ResumeOutput();
      if (cancellation.cancelled()) co_return Fail(ErrorCode::kClosed, "the client has gone");
      if (!events_.empty()) continue;
      if ((failed_ || exited_) && PushRest()) continue;
      if (failed_) co_return *failed_;
      if (exited_) co_return *exited_;
      co_await changed_.Wait();
    }
  }

 private:
  void Push(OutputStream stream, std::string_view data) {
    const size_t index = static_cast<size_t>(stream);
    Add(stream, pieces_[index].Take(data));
  }

  // A character that was begun, and will not be completed. True: there was one.
  bool PushRest() {
    for (const OutputStream stream : {OutputStream::kStdout, OutputStream::kStderr}) {
      Add(stream, pieces_[static_cast<size_t>(stream)].Take("", /*last=*/true));
    }
    return !events_.empty();
  }

  void Add(OutputStream stream, const std::string& piece) {
    const size_t index = static_cast<size_t>(stream);
    if (piece.empty()) return;
    api::OutputEvent event = OutputEventOf(stream, piece);
    event.offset = offsets_[index];
    offsets_[index] += piece.size();
    const size_t cost = piece.size() + sizeof(StreamEvent);
    if (events_.Push(std::move(event), cost)) attachment_->PauseOutput();
    changed_.Set();
  }

  void OnDropped(unsigned stream, uint64_t bytes) {
    if (stream != agent::kStdout && stream != agent::kStderr) return;
    const auto which = static_cast<OutputStream>(stream - agent::kStdout);
    PushRest();
    offsets_[stream - agent::kStdout] += bytes;
    const bool full =
        events_.Push(api::DroppedEvent{std::string(NameOf(which)), bytes}, sizeof(StreamEvent));
    if (full) attachment_->PauseOutput();
    changed_.Set();
  }

  Loop& loop_;
  Event changed_;
  std::array<Utf8Pieces, 2> pieces_;
  std::array<uint64_t, 2> offsets_ = {};
  Backlog<StreamEvent> events_{kMaxWaiting};
  std::optional<agent::Exited> exited_;
  std::optional<base::Error> failed_;
  std::unique_ptr<agent::Attachment> attachment_;
};

}  // namespace

Service::Reply<api::ProcessStarted> Engine::StartProcess(Call call,
                                                         api::ProcessStartParams params) {
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  CO_TRY(agent::Exec exec, PlanProcess(*use, {.argv = ArgvOf(params.command, params.args),
                                              .envs = params.envs,
                                              .workdir = params.workdir,
                                              .user = params.user}));
  if (params.pty) exec.pty = agent::WindowSize{params.pty->columns, params.pty->rows};
  exec.stdin_mode = params.stdin_ ? agent::StdinMode::kStream : agent::StdinMode::kNone;
  exec.hold_input = false;
  exec.unattached = agent::WhenUnattached::kKeep;
  exec.output =
      params.keep_all_output ? agent::OutputPolicy::kBlock : agent::OutputPolicy::kDropOldest;
  const auto started = co_await use->StartProcess(exec);
  if (!started) co_return co_await use->Explain(call.cancellation, started.error());
  co_return api::ProcessStarted{exec.id, *started};
}

Service::Reply<api::ProcessEnd> Engine::AttachProcess(Call call, api::ProcessAttachParams params) {
  if (call.sink == nullptr) {
    co_return Fail(ErrorCode::kInvalid,
                   "sandbox.process.attach answers with a stream: send Accept: text/event-stream, "
                   "or use the WebSocket (sandbox.process.wait waits without output)");
  }
  CO_TRY(CheckProcessId(params.process));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  Follower follower(loop_);
  CO_TRY(follower.Attach(use->guest(), params));
  const auto exited = co_await follower.Follow(*call.sink, call.cancellation);
  if (!exited) co_return co_await use->Explain(call.cancellation, exited.error());
  co_return EndOf(*exited);
}

Service::Reply<api::ProcessEnd> Engine::WaitProcess(Call call, api::ProcessWaitParams params) {
  CO_TRY(CheckSeconds("timeout", params.timeout, /*zero=*/true));
  CO_TRY(CheckProcessId(params.process));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const auto exited = co_await use->guest().Wait({.id = params.process, .collect = false},
                                                 DeadlineIn(params.timeout), call.cancellation);
  if (!exited && exited.error().code() == ErrorCode::kTimeout) {
    co_return StillRunning();
  }
  if (!exited) co_return co_await use->Explain(call.cancellation, exited.error());
  co_await use->ForgetProcess(params.process);
  co_return EndOf(*exited);
}

Service::Reply<api::Empty> Engine::WriteProcess(Call call, api::ProcessWriteParams params) {
  CO_TRY(CheckProcessId(params.process));
  CO_TRY(std::string data, InputOf(params));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const base::Status written =
      co_await use->WriteInput(params.process, std::move(data), params.eof, call.cancellation);
  if (!written) co_return co_await use->Explain(call.cancellation, written.error());
  co_return api::Empty{};
}

Service::Reply<api::Empty> Engine::SignalProcess(Call call, api::ProcessSignalParams params) {
  CO_TRY(CheckProcessId(params.process));
  CO_TRY(const int number, sandbox::ParseSignal(params.signal).WithContext("signal"));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const base::Status sent = co_await use->guest().Signal(
      agent::Signal{.id = params.process, .signal = number, .group = params.group});
  if (!sent) co_return co_await use->Explain(call.cancellation, sent.error());
  co_return api::Empty{};
}

Service::Reply<api::Empty> Engine::ResizeProcess(Call call, api::ProcessResizeParams params) {
  CO_TRY(CheckProcessId(params.process));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const base::Status sent =
      co_await use->guest().Resize({.id = params.process, .size = {params.columns, params.rows}});
  if (!sent) co_return co_await use->Explain(call.cancellation, sent.error());
  co_return api::Empty{};
}

Service::Reply<api::ProcessList> Engine::ListProcesses(Call call, api::SandboxRef params) {
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const auto processes = co_await use->guest().ListProcesses();
  if (!processes) co_return co_await use->Explain(call.cancellation, processes.error());
  api::ProcessList list;
  for (const agent::ProcessInfo& process : processes->processes) {
    // The monitor's, and those of contexts, are not the client's.
    if (use->IsOwnProcess(process.id)) continue;
    api::ProcessInfo& info = list.processes.emplace_back();
    info.process = process.id;
    info.pid = process.pid;
    for (const base::Bytes& argument : process.argv) {
      info.command.push_back(ToUtf8(argument.data));
    }
    info.pty = process.pty;
    if (process.exited) info.ended = EndOf(*process.exited);
  }
  co_return list;
}

}  // namespace msb::server
