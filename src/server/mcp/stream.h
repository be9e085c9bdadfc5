// EventStream: what a session has sent for one POST (or for none: number 0), kept so that a client
// that lost its connection gets the rest. An Outlet; numbers its events.
//
// Owned by its connection (http.h), its calls and, for a while after its end, by the list of those
// that may be resumed. One reader at a time: a new one ends the one before. Bounded: of what is no
// answer, the oldest is dropped (progress that nobody reads); answers are bounded by the tools.
// The event stream format of the HTML standard; MCP, basic/transports.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "src/server/async.h"
#include "src/server/mcp/session.h"

namespace msb::server::mcp {

class EventStream : public Outlet {
 public:
  static constexpr size_t kMaxEvents = 256;
  static constexpr size_t kMaxBytes = 1 << 20;

  struct Entry {
    uint64_t number;
    std::string message;
    bool answer;
  };

  // `answers`: so many are to come, then it is complete. 0: it has no end.
  EventStream(boost::asio::any_io_executor executor, uint64_t number, size_t answers);

  void Send(std::string message) override;
  void Answer(std::string message) override;
  void Withdraw() override;
  void Disconnect() override;

  uint64_t number() const { return number_; }
  bool complete() const { return endless_ ? false : missing_ == 0; }
  size_t bytes() const { return bytes_; }
  const std::deque<Entry>& entries() const { return entries_; }
  // The first after `number`; null if there is none yet.
  const Entry* After(uint64_t number) const;

  // A reader begins: set whenever there is something new to see, also that another one has begun.
  std::shared_ptr<Event> Attach();
  bool IsReader(const std::shared_ptr<Event>& reader) const { return reader_ == reader; }
  // It ends. `orphaned` is called if no other begins within `grace`.
  void Detach(const std::shared_ptr<Event>& reader, Clock::duration grace,
              std::function<void()> orphaned);
  bool attached() const { return reader_ != nullptr; }
  // The reader's connection is to be closed once what is there has been sent.
  bool disconnect_asked() const { return disconnect_; }

  void End();  // the session's end: complete, whatever is missing

 private:
  void Add(std::string message, bool answer);
  void Trim();
  void Wake();

  boost::asio::any_io_executor executor_;
  uint64_t number_;
  bool endless_;
  size_t missing_;
  bool disconnect_ = false;
  uint64_t last_event_ = 0;
  size_t bytes_ = 0;
  std::deque<Entry> entries_;
  std::shared_ptr<Event> reader_;
  boost::asio::steady_timer orphan_timer_;
};

// "3-7": event 7 of stream 3. Event 0 is a stream's beginning.
struct EventId {
  uint64_t stream = 0;
  uint64_t event = 0;
};
std::string WriteEventId(EventId id);
std::optional<EventId> ReadEventId(std::string_view text);

// As it travels. `data` has no newline: JSON on one line. `retry_ms`: when to come back.
std::string WriteEvent(EventId id, std::string_view data, std::optional<int> retry_ms = {});

}  // namespace msb::server::mcp
