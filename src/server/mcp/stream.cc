#include "src/server/mcp/stream.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace msb::server::mcp {

EventStream::EventStream(boost::asio::any_io_executor executor, uint64_t number, size_t answers)
    : executor_(executor),
      number_(number),
      endless_(answers == 0),
      missing_(answers),
      orphan_timer_(executor) {}

void EventStream::Send(std::string message) { Add(std::move(message), false); }

void EventStream::Answer(std::string message) {
  if (missing_ > 0) --missing_;
  Add(std::move(message), true);
}

void EventStream::Withdraw() {
  if (missing_ > 0) --missing_;
  Wake();
}

void EventStream::Disconnect() {
  disconnect_ = true;
  Wake();
}

void EventStream::End() {
  endless_ = false;
  missing_ = 0;
  Wake();
}

void EventStream::Add(std::string message, bool answer) {
  bytes_ += message.size();
  entries_.push_back({++last_event_, std::move(message), answer});
  Trim();
  Wake();
}

void EventStream::Trim() {
  while (entries_.size() > kMaxEvents || bytes_ > kMaxBytes) {
    const auto oldest = std::ranges::find(entries_, false, &Entry::answer);
    if (oldest == entries_.end()) return;
    bytes_ -= oldest->message.size();
    entries_.erase(oldest);
  }
}

const EventStream::Entry* EventStream::After(uint64_t number) const {
  const auto next = std::ranges::upper_bound(entries_, number, {}, &Entry::number);
  return next == entries_.end() ? nullptr : &*next;
}

std::shared_ptr<Event> EventStream::Attach() {
  Wake();  // the reader before sees that it is not the reader any more
  disconnect_ = false;
  orphan_timer_.cancel();
  reader_ = std::make_shared<Event>(executor_);
  return reader_;
}

void EventStream::Detach(const std::shared_ptr<Event>& reader, Clock::duration grace,
                         std::function<void()> orphaned) {
  if (reader_ != reader) return;
  reader_ = nullptr;
  orphan_timer_.expires_after(grace);
  orphan_timer_.async_wait(
      [orphaned = std::move(orphaned)](const boost::system::error_code& error) {
        if (!error) orphaned();
      });
}

void EventStream::Wake() {
  if (reader_) reader_->Set();
}

std::string WriteEventId(EventId id) { return fmt::format("{}-{}", id.stream, id.event); }

std::optional<EventId> ReadEventId(std::string_view text) {
  EventId id;
  const char* const end = text.data() + text.size();
  const auto stream = std::from_chars(text.data(), end, id.stream);
  if (stream.ec != std::errc() || stream.ptr == end || *stream.ptr != '-') return std::nullopt;
  const auto event = std::from_chars(stream.ptr + 1, end, id.event);
  if (event.ec != std::errc() || event.ptr != end) return std::nullopt;
  return id;
}

std::string WriteEvent(EventId id, std::string_view data, std::optional<int> retry_ms) {
  std::string out = fmt::format("id: {}\n", WriteEventId(id));
  if (retry_ms) out += fmt::format("retry: {}\n", *retry_ms);
  out += "data: ";
  out += data;
  out += "\n\n";
  return out;
}

}  // namespace msb::server::mcp
