#include "src/server/mcp/connection.h"

#include <utility>
#include <vector>

#include "src/base/sys.h"

namespace msb::server::mcp {

Endpoint::Connection::Connection(boost::asio::any_io_executor executor,
                                 std::shared_ptr<const Features> features, std::string key_id,
                                 const EndpointOptions& options)
    : executor_(executor),
      options_(options),
      id_(base::RandomHex(16)),
      key_id_(std::move(key_id)),
      streams_{{0, std::make_shared<EventStream>(executor, 0, 0)}},
      session_(std::make_shared<Session>(executor, std::move(features), streams_[0])),
      idle_since_(Clock::now()),
      idle_timer_(executor) {}

std::shared_ptr<EventStream> Endpoint::Connection::OpenStream(size_t answers) {
  ForgetStreams();
  auto stream = std::make_shared<EventStream>(executor_, next_stream_++, answers);
  streams_[stream->number()] = stream;
  return stream;
}

std::shared_ptr<EventStream> Endpoint::Connection::FindStream(uint64_t number) const {
  const auto found = streams_.find(number);
  return found == streams_.end() ? nullptr : found->second;
}

void Endpoint::Connection::ForgetStreams() {
  size_t count = 0;
  size_t bytes = 0;
  std::vector<uint64_t> old;
  for (auto at = streams_.rbegin(); at != streams_.rend(); ++at) {  // the newest first
    const EventStream& stream = *at->second;
    if (!stream.complete() || stream.attached()) continue;
    ++count;
    bytes += stream.bytes();
    if (count > kMaxComplete || bytes > kMaxCompleteBytes) old.push_back(at->first);
  }
  for (const uint64_t number : old) streams_.erase(number);
}

Async<base::Status> Endpoint::Connection::BeginEvents(http::Exchange& exchange, EventId last) {
  http::Headers headers = {{"cache-control", "no-cache, no-transform"},
                           {"x-accel-buffering", "no"}};
  if (resumable()) headers.emplace_back("mcp-session-id", id_);
  CO_TRY(co_await exchange.BeginStream(200, "text/event-stream", std::move(headers), std::nullopt));
  if (session_->version() != Version::k2025_11_25) co_return base::Status();
  // What the client can come back with, should it lose the connection before the first event.
  co_return co_await exchange.Write(WriteEvent(last, "", static_cast<int>(options_.retry.count())));
}

Async<base::Status> Endpoint::Connection::WriteNext(http::Exchange& exchange, EventStream& stream,
                                                    Event& reader, uint64_t& last) {
  if (const EventStream::Entry* entry = stream.After(last)) {
    last = entry->number;
    if (!resumable()) co_return co_await exchange.Write("data: " + entry->message + "\n\n");
    co_return co_await exchange.Write(WriteEvent({stream.number(), last}, entry->message));
  }
  if (!co_await reader.Wait(Clock::now() + options_.keep_alive)) {
    co_return co_await exchange.Write(": nothing yet\n\n");
  }
  co_return base::Status();
}

Async<void> Endpoint::Connection::RespondWithEvents(http::Exchange& exchange,
                                                    std::shared_ptr<EventStream> stream,
                                                    std::shared_ptr<Event> reader, uint64_t last) {
  const Cancellation::Watch watch(exchange.cancellation(), [reader] { reader->Set(); });
  base::Status sent = co_await BeginEvents(exchange, {stream->number(), last});
  const auto wanted = [&] {
    const bool more =
        stream->After(last) || !(stream->complete() || (stream->disconnect_asked() && resumable()));
    return more && stream->IsReader(reader) && !exchange.cancellation().cancelled();
  };
  while (sent && wanted()) {
    reader->Clear();
    sent = co_await WriteNext(exchange, *stream, *reader, last);
  }
  if (sent && !exchange.cancellation().cancelled()) sent = co_await exchange.EndStream();
  Left(stream, reader);
}

Async<void> Endpoint::Connection::RespondWithJson(http::Exchange& exchange,
                                                  std::shared_ptr<EventStream> stream,
                                                  std::shared_ptr<Event> reader, bool batch) {
  const Cancellation::Watch watch(exchange.cancellation(), [reader] { reader->Set(); });
  while (!stream->complete() && !exchange.cancellation().cancelled()) {
    reader->Clear();
    co_await reader->Wait();
  }
  streams_.erase(stream->number());  // such a client cannot come back for it
  if (exchange.cancellation().cancelled()) {
    session_->CancelCallsOf(*stream);
    co_return;
  }
  std::string body;
  for (const EventStream::Entry& entry : stream->entries()) {
    if (!entry.answer) continue;
    if (!body.empty()) body += ",";
    body += entry.message;
  }
  const bool none = body.empty();  // all were cancelled
  if (batch) body = "[" + body + "]";
  co_await exchange.Respond({.status = none ? 202 : 200,
                             .body = none ? "" : std::move(body),
                             .headers = {{"mcp-session-id", id_}}});
}

void Endpoint::Connection::Left(const std::shared_ptr<EventStream>& stream,
                                const std::shared_ptr<Event>& reader) {
  if (!resumable()) session_->CancelCallsOf(*stream);
  stream->Detach(reader, options_.orphan, [weak = weak_from_this(), left = stream.get()] {
    const auto self = weak.lock();
    if (self) self->session_->CancelCallsOf(*left);
  });
  ForgetStreams();
}

void Endpoint::Connection::End() {
  idle_timer_.cancel();
  on_idle_ = nullptr;
  session_->End();
  for (const auto& [number, stream] : streams_) stream->End();
}

Endpoint::Connection::Use::Use(std::shared_ptr<Connection> connection)
    : connection_(std::move(connection)) {
  if (connection_->users_++ == 0) connection_->idle_timer_.cancel();
}

Endpoint::Connection::Use::~Use() {
  if (--connection_->users_ > 0) return;
  connection_->idle_since_ = Clock::now();
  connection_->StartIdleTimer();
}

void Endpoint::Connection::StartIdleTimer() {
  if (!on_idle_) return;  // it has ended
  idle_timer_.expires_after(options_.idle);
  idle_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->in_use() || !self->on_idle_) return;
    const auto on_idle = std::exchange(self->on_idle_, nullptr);
    on_idle();
  });
}

}  // namespace msb::server::mcp
