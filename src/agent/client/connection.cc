#include "src/agent/client/connection.h"

#include <sys/socket.h>

#include <utility>

#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {

Failure MakeFailure(FailureCode code, std::string_view message) {
  return Failure{code, base::Bytes(message)};
}

base::Status Connection::Open(base::UniqueFd stream) {
  stream_ = std::move(stream);
  TRY(base::SetNonBlocking(stream_.get(), true));
  TRY(Watch());
  queue_.Append(FrameType::kHello, 0, base::json::Write(Hello()));
  ScheduleFlush();
  return {};
}

void Connection::Close() {
  closed_ = true;
  watch_.Reset();
  stream_.Reset();
}

base::Status Connection::Watch() {
  // The loop keeps the handler alive while it runs, the handler keeps the connection alive.
  watch_ = TRY(loop_.Add(stream_.get(), EPOLLIN, [weak = weak_from_this()](uint32_t events) {
    if (const auto self = weak.lock()) self->HandleEvents(events);
  }));
  return {};
}

void Connection::UpdateWatch() {
  if (closed_) return;
  const uint32_t wanted = (paused_ ? 0u : uint32_t{EPOLLIN}) | (blocked_ ? uint32_t{EPOLLOUT} : 0u);
  if (watch_.active()) {
    watch_.SetEvents(wanted);
  } else if (wanted != 0) {
    if (base::Status watched = Watch(); !watched) {
      FailLater(MakeFailure(FailureCode::kSystem, watched.error().message()));
    } else {
      watch_.SetEvents(wanted);
    }
  }
}

uint32_t Connection::SendRequest(Request request) {
  request.seq = next_seq_++;
  if (closed_) return request.seq;
  const std::string text = base::json::Write(request);
  if (text.size() > kMaxPayload) {
    FailLater(
        MakeFailure(FailureCode::kLimit,
                    fmt::format("arguments and environment are too long: {} bytes, the limit is {}",
                                text.size(), kMaxPayload)));
    return request.seq;
  }
  queue_.Append(FrameType::kRequest, 0, text);
  ScheduleFlush();
  return request.seq;
}

void Connection::SendData(unsigned stream, std::string_view data) {
  while (!data.empty() && !closed_) {
    const std::string_view part = data.substr(0, kMaxPayload);
    queue_.Append(FrameType::kData, stream, part);
    data.remove_prefix(part.size());
    ScheduleFlush();
  }
}

void Connection::SendEnd(unsigned stream) {
  if (closed_) return;
  queue_.Append(FrameType::kEnd, stream, {});
  ScheduleFlush();
}

void Connection::ScheduleFlush() {
  if (queue_.size() > kMaxQueue) {
    FailLater(MakeFailure(FailureCode::kProtocol, "the guest does not read what it is sent"));
    return;
  }
  if (flush_scheduled_ || blocked_) return;
  flush_scheduled_ = true;
  loop_.Defer([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->flush_scheduled_ = false;
    if (!self->closed_) self->Flush();
  });
}

void Connection::Flush() {
  if (base::Status sent = queue_.Flush(stream_.get()); !sent) {
    // What the guest said before it hung up is still to be read, and says more.
    blocked_ = false;
    while (!queue_.empty()) queue_.Sent(queue_.size());
    UpdateWatch();
    return;
  }
  blocked_ = !queue_.empty();
  UpdateWatch();
}

void Connection::FailLater(Failure failure) {
  loop_.Defer([weak = weak_from_this(), failure = std::move(failure)] {
    if (const auto self = weak.lock()) self->End(failure);
  });
}

void Connection::End(const Failure& failure) {
  if (closed_) return;
  Close();
  OnFailed(failure);
}

void Connection::Pause() {
  paused_ = true;
  UpdateWatch();
}

void Connection::Resume() {
  if (!std::exchange(paused_, false) || closed_) return;
  UpdateWatch();
  // What had arrived before the pause has no event of its own.
  loop_.Defer([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && !self->closed_) self->Dispatch();
  });
}

void Connection::HandleEvents(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    blocked_ = false;
    Flush();
  }
  if (paused_) {
    // A hang-up is reported for ever; it keeps until the consumer goes on.
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) watch_.Reset();
    return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) HandleInput();
}

void Connection::HandleInput() {
  // At most so much in a row, so that one busy stream does not starve the others of the loop.
  for (int turn = 0; turn < 8 && !closed_ && !paused_; ++turn) {
    const std::span<char> space = reader_.Space();
    const ssize_t got = ::recv(stream_.get(), space.data(), space.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      return End(MakeFailure(
          FailureCode::kDisconnected,
          greeted_ ? "the sandbox ended the connection" : "the sandbox ended before it answered"));
    }
    reader_.Filled(static_cast<size_t>(got));
    Dispatch();
    if (static_cast<size_t>(got) < space.size()) return;
  }
}

void Connection::Dispatch() {
  // A callback that resumes within a dispatch is served by that same dispatch.
  if (std::exchange(dispatching_, true)) return;
  while (!closed_ && !paused_) {
    auto frame = reader_.Next();
    if (frame && !*frame) break;
    base::Status handled = frame ? HandleFrame(**frame) : std::move(frame).error();
    if (!handled) {
      End(MakeFailure(FailureCode::kProtocol,
                      "the guest broke the protocol: " + handled.error().message()));
    }
  }
  dispatching_ = false;
}

base::Status Connection::HandleFrame(const Frame& frame) {
  if (!greeted_ && frame.type != FrameType::kHello) {
    return Violation("no hello");
  }
  switch (frame.type) {
    case FrameType::kHello:
      return HandleHello(frame.payload);
    case FrameType::kReply:
      return OnReply(TRY(base::json::Parse<Reply>(frame.payload)));
    case FrameType::kEvent:
      return OnEvent(TRY(base::json::Parse<Event>(frame.payload)));
    case FrameType::kCredit:
      return OnCredit(frame.stream, frame.credit);
    case FrameType::kData:
      return OnData(frame.stream, frame.payload);
    case FrameType::kEnd:
      return OnEnd(frame.stream);
    case FrameType::kRequest:
      break;
  }
  return Violation("a request from the guest");
}

base::Status Connection::HandleHello(std::string_view text) {
  if (greeted_) return Violation("a second hello");
  const Hello hello = TRY(base::json::Parse<Hello>(text));
  if (hello.version < kOldestVersion || hello.oldest > kVersion) {
    End(MakeFailure(FailureCode::kVersion,
                    fmt::format("the sandbox's agent speaks versions {} to {}, this program {} to "
                                "{}: restart the sandbox",
                                hello.oldest, hello.version, kOldestVersion, kVersion)));
    return {};
  }
  greeted_ = true;
  return {};
}

}  // namespace msb::agent
