#include "src/agent/client/attachment.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "src/agent/client/connection.h"
#include "src/base/sys.h"

namespace msb::agent {

int ExitCodeOf(FailureCode code) {
  switch (code) {
    case FailureCode::kProgramMissing:
      return 127;
    case FailureCode::kNotExecutable:
      return 126;
    default:
      return 125;
  }
}

std::string NewProcessId() { return base::RandomHex(kProcessIdDigits / 2); }

class Attachment::Impl : public Connection {
 public:
  Impl(base::EventLoop& loop, Callbacks callbacks)
      : Connection(loop), callbacks_(std::move(callbacks)) {}

  void Execute(const Exec& exec);
  void Reattach(const Attach& attach);
  void Start();
  void SendSignal(int signal, bool group);
  void SendResize(WindowSize size);
  size_t Writable(unsigned stream) const;
  size_t Write(unsigned stream, std::string_view data);
  void CloseInput(unsigned stream);

 protected:
  base::Status OnReply(const Reply& reply) override;
  base::Status OnEvent(const Event& event) override;
  base::Status OnData(unsigned stream, std::string_view data) override;
  base::Status OnEnd(unsigned stream) override;
  base::Status OnCredit(unsigned stream, uint32_t bytes) override;
  void OnFailed(const Failure& failure) override;

 private:
  // A guest that leaves requests unanswered gets no more of them.
  static constexpr size_t kMaxUnanswered = 256;
  struct Stream {
    bool input = false;   // the host may send
    bool output = false;  // the guest may send
    size_t credit = 0;
    bool wants_credit = false;  // Writable() was 0 when it was asked for
  };

  bool MayAsk() const { return unanswered_.size() < kMaxUnanswered; }
  base::Status OnStarted(const Started& started);
  void GiveUp(const Failure& failure);
  Stream* FindOutput(unsigned stream);

  Callbacks callbacks_;
  std::array<Stream, kMaxStreams> streams_;
  uint32_t main_seq_ = 0;   // of exec or attach
  uint32_t start_seq_ = 0;  // of start: its failure is the process's
  std::set<uint32_t> unanswered_;
  bool started_ = false;
  // Of an exec: the answer must agree.
  std::optional<uint32_t> asked_extras_;
  std::optional<bool> asked_pty_;
};

void Attachment::Impl::Execute(const Exec& exec) {
  asked_extras_ = exec.extra_streams;
  asked_pty_ = exec.pty.has_value();
  streams_[kStdin].input =
      exec.hold_input && (exec.stdin_mode == StdinMode::kStream || exec.pty.has_value());
  for (size_t i = 0; i < std::min<size_t>(exec.extra_streams, kMaxExtraStreams); ++i) {
    streams_[kFirstExtra + i].input = exec.hold_input;
  }
  for (Stream& stream : streams_) stream.credit = stream.input ? kInitialCredit : 0;
  Request request;
  request.exec = exec;
  main_seq_ = SendRequest(std::move(request));
}

void Attachment::Impl::Reattach(const Attach& attach) {
  streams_[kStdin].input = attach.input;
  for (unsigned i = kFirstExtra; i < kMaxStreams; ++i) streams_[i].input = attach.input;
  for (Stream& stream : streams_) stream.wants_credit = stream.input;
  Request request;
  request.attach = attach;
  main_seq_ = SendRequest(std::move(request));
}

void Attachment::Impl::Start() {
  Request request;
  request.start.emplace();
  start_seq_ = SendRequest(std::move(request));
  unanswered_.insert(start_seq_);
}

void Attachment::Impl::SendSignal(int signal, bool group) {
  if (!MayAsk()) return;
  Request request;
  request.signal = agent::Signal{.id = {}, .signal = signal, .group = group};
  unanswered_.insert(SendRequest(std::move(request)));
}

void Attachment::Impl::SendResize(WindowSize size) {
  if (!MayAsk()) return;
  Request request;
  request.resize = agent::Resize{.id = {}, .size = size};
  unanswered_.insert(SendRequest(std::move(request)));
}

size_t Attachment::Impl::Writable(unsigned stream) const {
  if (closed() || stream >= kMaxStreams || !streams_[stream].input) return 0;
  return streams_[stream].credit;
}

size_t Attachment::Impl::Write(unsigned stream, std::string_view data) {
  const size_t length = std::min(data.size(), Writable(stream));
  if (length > 0) {
    SendData(stream, data.substr(0, length));
    streams_[stream].credit -= length;
  }
  if (stream < kMaxStreams && streams_[stream].credit == 0) streams_[stream].wants_credit = true;
  return length;
}

void Attachment::Impl::CloseInput(unsigned stream) {
  if (stream >= kMaxStreams || !std::exchange(streams_[stream].input, false)) return;
  SendEnd(stream);
}

base::Status Attachment::Impl::OnReply(const Reply& reply) {
  if (!started_ && reply.seq == main_seq_) {
    if (reply.failure) {
      GiveUp(*reply.failure);
      return {};
    }
    if (!reply.started) return Violation("an answer without its content");
    return OnStarted(*reply.started);
  }
  if (unanswered_.erase(reply.seq) == 0) {
    return Violation("an answer to no request of ours");
  }
  // A signal or a resize that came too late has failed, and that is all right.
  if (reply.seq == start_seq_ && reply.failure) GiveUp(*reply.failure);
  return {};
}

base::Status Attachment::Impl::OnStarted(const Started& started) {
  if (started.extra_streams > kMaxExtraStreams ||
      (asked_extras_ && *asked_extras_ != started.extra_streams)) {
    return Violation("{} extra streams", started.extra_streams);
  }
  if (asked_pty_ && *asked_pty_ != started.pty) {
    return Violation("{} terminal", started.pty ? "an unasked" : "no");
  }
  started_ = true;
  streams_[kStdout].output = true;
  streams_[kStderr].output = !started.pty;
  for (unsigned i = 0; i < started.extra_streams; ++i) streams_[kFirstExtra + i].output = true;
  for (unsigned i = kFirstExtra + started.extra_streams; i < kMaxStreams; ++i) {
    streams_[i].input = false;
  }
  std::set<uint32_t> named;
  for (const StreamOffset& offset : started.offsets) {
    if (FindOutput(offset.stream) == nullptr || !named.insert(offset.stream).second) {
      return Violation("an offset of stream {}", offset.stream);
    }
  }
  if (callbacks_.on_started) callbacks_.on_started(started);
  return {};
}

Attachment::Impl::Stream* Attachment::Impl::FindOutput(unsigned stream) {
  return stream < kMaxStreams && streams_[stream].output ? &streams_[stream] : nullptr;
}

base::Status Attachment::Impl::OnData(unsigned stream, std::string_view data) {
  if (FindOutput(stream) == nullptr) {
    return Violation("data on stream {}", stream);
  }
  if (stream == kStdout) {
    if (callbacks_.on_stdout) callbacks_.on_stdout(data);
  } else if (stream == kStderr) {
    if (callbacks_.on_stderr) callbacks_.on_stderr(data);
  } else if (callbacks_.on_extra) {
    callbacks_.on_extra(stream, data);
  }
  return {};
}

base::Status Attachment::Impl::OnEnd(unsigned stream) {
  Stream* found = FindOutput(stream);
  if (found == nullptr) return Violation("the end of stream {}", stream);
  found->output = false;
  if (callbacks_.on_end) callbacks_.on_end(stream);
  return {};
}

base::Status Attachment::Impl::OnCredit(unsigned stream, uint32_t bytes) {
  Stream& granted = streams_[stream];
  const bool possible = stream == kStdin || stream >= kFirstExtra;
  if (!possible || bytes == 0 || bytes > kCreditWindow - granted.credit) {
    return Violation("credit of {} bytes for stream {}", bytes, stream);
  }
  granted.credit += bytes;
  if (granted.input && std::exchange(granted.wants_credit, false) && callbacks_.on_writable) {
    callbacks_.on_writable(stream);
  }
  return {};
}

base::Status Attachment::Impl::OnEvent(const Event& event) {
  if (!started_) return Violation("an event before the start");
  if (event.exited) {
    Close();
    callbacks_.on_exit(*event.exited);
    return {};
  }
  if (event.dropped) {
    if (event.dropped->stream >= kMaxStreams || FindOutput(event.dropped->stream) == nullptr) {
      return Violation("dropped bytes of stream {}", event.dropped->stream);
    }
    if (callbacks_.on_dropped) callbacks_.on_dropped(event.dropped->stream, event.dropped->bytes);
    return {};
  }
  return Violation("an event that is none of a process");
}

void Attachment::Impl::GiveUp(const Failure& failure) {
  Close();
  callbacks_.on_failed(failure);
}

void Attachment::Impl::OnFailed(const Failure& failure) { callbacks_.on_failed(failure); }

Attachment::Attachment(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Attachment::~Attachment() { impl_->Close(); }

base::Result<std::unique_ptr<Attachment>> Attachment::Execute(base::EventLoop& loop,
                                                              base::UniqueFd stream,
                                                              const Exec& exec,
                                                              Callbacks callbacks) {
  CHECK(callbacks.on_exit && callbacks.on_failed);
  auto impl = std::make_shared<Impl>(loop, std::move(callbacks));
  TRY(impl->Open(std::move(stream)));
  impl->Execute(exec);
  return std::unique_ptr<Attachment>(new Attachment(std::move(impl)));
}

base::Result<std::unique_ptr<Attachment>> Attachment::Reattach(base::EventLoop& loop,
                                                               base::UniqueFd stream,
                                                               const Attach& attach,
                                                               Callbacks callbacks) {
  CHECK(callbacks.on_exit && callbacks.on_failed);
  auto impl = std::make_shared<Impl>(loop, std::move(callbacks));
  TRY(impl->Open(std::move(stream)));
  impl->Reattach(attach);
  return std::unique_ptr<Attachment>(new Attachment(std::move(impl)));
}

size_t Attachment::Writable(unsigned stream) const { return impl_->Writable(stream); }
size_t Attachment::Write(unsigned stream, std::string_view data) {
  return impl_->Write(stream, data);
}
void Attachment::CloseInput(unsigned stream) { impl_->CloseInput(stream); }
void Attachment::Start() { impl_->Start(); }
void Attachment::Signal(int signal, bool group) { impl_->SendSignal(signal, group); }
void Attachment::Resize(WindowSize size) { impl_->SendResize(size); }
void Attachment::PauseOutput() { impl_->Pause(); }
void Attachment::ResumeOutput() { impl_->Resume(); }

}  // namespace msb::agent
