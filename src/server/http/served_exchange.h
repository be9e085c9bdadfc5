// ServedExchange: the Exchange of a request that came over a connection. RFC 9112.
//
// Lives in the connection's coroutine, for one request. One thread.
#pragma once

#include <memory>
#include <string>

#include "src/server/http/body.h"
#include "src/server/http/exchange.h"
#include "src/server/http/response_head.h"
#include "src/server/http/transport.h"

namespace msb::server::http {

class ServedExchange : public Exchange {
 public:
  // `head` with peer and id filled in; all outlive it. `answer_headers` go with every answer.
  ServedExchange(Transport& transport, const Head& head, const ConnectionLimits& limits,
                 MemoryBudget& budget, Headers answer_headers);
  ~ServedExchange() override;

  const Request& request() const override { return head_.request; }
  Async<base::Result<std::string>> ReadBody(size_t limit) override;
  Async<base::Result<size_t>> ReadSome(std::span<char> buffer) override;
  std::optional<uint64_t> content_length() const override;
  Async<void> Respond(Response response) override;
  Async<base::Status> BeginStream(int status, std::string content_type, Headers headers,
                                  std::optional<uint64_t> length) override;
  Async<base::Status> Write(std::string data) override;
  Async<base::Status> EndStream() override;
  Async<base::Result<std::unique_ptr<WebSocket>>> Upgrade(size_t max_message_bytes) override;
  Cancellation& cancellation() override;
  Cancellation* ending() override { return &ending_; }
  void Note(std::string what) override { note_ = std::move(what); }
  void NoteKey(std::string key_id) override;
  std::shared_ptr<MemoryBudget::Hold> hold() override { return hold_; }

  // The server ends: this answer is the connection's last.
  void EndKeepAlive() {
    keep_alive_ = false;
    ending_.Cancel();
  }
  void Cancel() { cancellation_.Cancel("the server was stopped, and the call with it"); }
  // The handler is done. True if the connection can serve another request.
  bool Finish();

  bool answered() const override { return state_ != State::kOpen; }
  int status() const { return status_; }
  const std::optional<std::string>& note() const { return note_; }
  const std::optional<std::string>& key() const { return key_; }

 private:
  enum class State { kOpen, kStreaming, kComplete, kBroken, kUpgraded };
  std::string Begin(int status, std::string_view content_type, const Headers& headers,
                    BodyFraming framing, uint64_t length);
  Async<base::Status> Send(std::string_view data);
  void WatchPeer();

  Transport& transport_;
  const Head& head_;
  const ConnectionLimits& limits_;
  MemoryBudget& budget_;
  std::shared_ptr<MemoryBudget::Hold> hold_;
  Headers answer_headers_;
  RequestBody body_;
  Cancellation cancellation_;
  Cancellation ending_;
  bool watch_wanted_ = false;
  bool keep_alive_;
  State state_ = State::kOpen;
  int status_ = 0;
  BodyFraming framing_ = BodyFraming::kNone;
  uint64_t left_ = 0;  // of a stream with a length
  std::optional<std::string> note_;
  std::optional<std::string> key_;
};

}  // namespace msb::server::http
