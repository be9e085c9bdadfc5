#include "src/agent/guest/session.h"

#include <sys/socket.h>

#include <utility>

#include "src/agent/guest/process.h"
#include "src/agent/guest/server.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/sys.h"

namespace msb::agent {

Session::Session(Server& server, uint64_t number, base::UniqueFd socket)
    : server_(server), number_(number), socket_(std::move(socket)) {}

Session::~Session() = default;

base::Status Session::Open(base::EventLoop& loop) {
  TRY(base::SetNonBlocking(socket_.get(), true));
  watch_ = TRY(loop.Add(socket_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                        [this](uint32_t events) { OnEvents(events); }));
  return {};
}

void Session::OnEvents(uint32_t events) {
  if ((events & EPOLLOUT) != 0) Wake();
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
  if ((events & ~uint32_t{EPOLLOUT}) != 0) {
    readable_ = true;
    ReadFrames();
  }
}

void Session::ReadFrames() {
  if (!Dispatch()) return;
  while (readable_ && !closed_) {
    const std::span<char> space = reader_.Space();
    const ssize_t got = ::recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      readable_ = false;
      return;
    }
    if (got <= 0) return Close();
    reader_.Filled(static_cast<size_t>(got));
    if (static_cast<size_t>(got) < space.size() && !hung_up_) readable_ = false;
    if (!Dispatch()) return;
  }
}

bool Session::Dispatch() {
  while (!closed_ && !broken_) {
    // What is waited for may take for ever, and no other event says that the host has gone.
    if (beginning_ && hung_up_) Close();
    if (closed_ || waiting_ || beginning_ || queue_.size() > kMaxQueued) return false;
    auto frame = reader_.Next();
    if (frame && !*frame) return true;
    base::Status handled = frame ? HandleFrame(**frame) : std::move(frame).error();
    if (!handled) Break(handled.error());
  }
  return false;
}

// Says what was wrong, and ends.
void Session::Break(const base::Error& error) {
  Reply reply;
  reply.failure = Failure{FailureCode::kProtocol, base::Bytes(error.message())};
  Answer(std::move(reply));
  broken_ = true;
  attached_.reset();
  transfer_ = nullptr;
  file_works_.clear();
  lookup_.reset();
}

void Session::Close() {
  if (std::exchange(closed_, true)) return;
  watch_.Reset();
  attached_.reset();
  transfer_ = nullptr;
  file_works_.clear();
  lookup_.reset();
  socket_.Reset();
  server_.Closed(*this);
}

void Session::Wake() { server_.ScheduleFlush(*this); }

void Session::Answer(Reply reply) {
  queue_.Append(FrameType::kReply, 0, base::json::Write(reply));
  Wake();
}

void Session::Flush() {
  if (closed_) return;
  Pump();
  if (closed_) return;
  if (broken_ && queue_.empty()) return Close();
  if (attached_) {
    // May read more output, which schedules the next flush.
    attached_->process().ReadOn();
  }
  GoOnWithFiles();
  // Frames that have been read may have waited, too.
  if (queue_.size() <= kMaxQueued) ReadFrames();
}

void Session::Leave(const Process& process) {
  if (!attached_ || &attached_->process() != &process) return;
  attached_.reset();
  broken_ = true;
  Wake();
}

void Session::Pump() {
  const bool sent = attached_ ? attached_->Pump(socket_.get()).has_value()
                              : queue_.Flush(socket_.get()).has_value();
  if (!sent) Close();
}

base::Status Session::HandleFrame(const Frame& frame) {
  if (!greeted_ && frame.type != FrameType::kHello) {
    return base::Fail(base::ErrorCode::kProtocol, "no hello");
  }
  switch (frame.type) {
    case FrameType::kHello:
      return HandleHello(frame.payload);
    case FrameType::kRequest:
      return HandleRequest(frame.payload);
    case FrameType::kData:
      return HandleData(frame);
    case FrameType::kEnd:
      return HandleEnd(frame);
    default:
      return base::Fail(base::ErrorCode::kProtocol, "a frame that only the agent sends");
  }
}

base::Status Session::HandleHello(std::string_view text) {
  if (greeted_) return base::Fail(base::ErrorCode::kProtocol, "a second hello");
  const Hello hello = TRY(base::json::Parse<Hello>(text));
  greeted_ = true;
  queue_.Append(FrameType::kHello, 0, base::json::Write(Hello()));
  if (hello.version < kOldestVersion || hello.oldest > kVersion) {
    // Our hello tells the host the versions; nothing else can be understood.
    broken_ = true;
  }
  Wake();
  return {};
}

base::Status Session::HandleRequest(std::string_view text) {
  const base::json::Value value = TRY(base::json::ParseValue(text));
  auto request = base::json::Decode<Request>(value);
  if (request) {
    Serve(*request);
    return {};
  }
  // A value that this version does not know is the request's failure, not the connection's.
  Reply reply;
  const base::json::Value* seq =
      value.is_object() ? value.get_object().if_contains("seq") : nullptr;
  if (seq == nullptr) return std::move(request).error();
  reply.seq = TRY(base::json::Decode<uint32_t>(*seq, "seq"));
  reply.failure = Failure{FailureCode::kInvalid, base::Bytes(request.error().message())};
  Answer(std::move(reply));
  return {};
}

base::Status Session::HandleData(const Frame& frame) {
  if (attached_) {
    if (!attached_->input()) return base::Fail(base::ErrorCode::kProtocol, "data without input");
    return attached_->process().Input(frame.stream, frame.payload);
  }
  return TakeFileData(frame);
}

base::Status Session::HandleEnd(const Frame& frame) {
  if (attached_) {
    if (!attached_->input()) return base::Fail(base::ErrorCode::kProtocol, "end without input");
    return attached_->process().EndInput(frame.stream);
  }
  return TakeFileData(frame);
}

}  // namespace msb::agent
