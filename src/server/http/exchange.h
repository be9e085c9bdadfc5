// Exchange: one HTTP request and its response, as the protocols above HTTP see it.
//
// Made by the connection (connection.h) after the rules of the whole server were applied: syntax,
// limits, Host, Origin, peer. A handler answers exactly once: with Respond, with a stream, or with
// a WebSocket. What it leaves unread of the body, or unfinished of its answer, costs the client the
// connection, nobody else. One thread. RFC 9112, RFC 6455, and the event stream of the HTML
// standard.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "src/server/async.h"
#include "src/server/http/memory_budget.h"

namespace msb::server::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

// All of it is the client's: valid HTTP, otherwise any text.
struct Request {
  std::string method;  // "GET"
  std::string path;    // decoded, begins with '/', no query; valid UTF-8 without control characters
  std::multimap<std::string, std::string> query;  // decoded
  Headers headers;                                // names in lower case
  std::string peer;                               // address and port
  std::string id;                                 // ours, for the log and the answer: X-Request-Id

  // The first of that name (lower case); empty if there is none.
  std::string_view Header(std::string_view name) const;
  std::optional<std::string> Query(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  Headers headers = {};
};

// A WebSocket's messages. Pings are answered and sent by themselves.
class WebSocket {
 public:
  struct Message {
    std::string text;
    MemoryBudget::Hold hold;  // for as long as it, or what it asked for, is kept
  };
  virtual ~WebSocket() = default;
  // The next text message. kClosed when the peer has closed or gone, or is too slow with it,
  // kLimit for one that is too long, kBusy for one that the server cannot hold, kProtocol for
  // anything else that is not a text message.
  virtual Async<base::Result<Message>> Receive() = 0;
  // Waits for room; callers that send at the same time are served one after the other. A client
  // that reads too slowly is given up.
  virtual Async<base::Status> Send(std::string text) = 0;
  // With a close frame: 1000 normal, 1008 policy, 1009 too big … (RFC 6455, 7.4.1).
  virtual Async<void> Close(uint16_t code, std::string reason) = 0;
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;

  // --- the request's body
  // All of it. kLimit if it is longer than `limit` bytes, kBusy if the server holds too much of
  // this key already, kClosed if the client goes, kTimeout if it sends too slowly.
  virtual Async<base::Result<std::string>> ReadBody(size_t limit) = 0;
  // As it comes; 0 at its end.
  virtual Async<base::Result<size_t>> ReadSome(std::span<char> buffer) = 0;
  virtual std::optional<uint64_t> content_length() const = 0;  // absent: chunked

  // --- the answer
  // 503 instead, with the reason, if the body is long and the server holds too much already.
  virtual Async<void> Respond(Response response) = 0;
  // A body in pieces: of `length` bytes, or chunked. HEAD: nothing of it is sent.
  virtual Async<base::Status> BeginStream(int status, std::string content_type, Headers headers,
                                          std::optional<uint64_t> length) = 0;
  // Waits until the client has taken enough of what came before (a slow reader slows the writer);
  // kClosed if it has gone, kTimeout if it takes nothing for too long.
  virtual Async<base::Status> Write(std::string data) = 0;
  virtual Async<base::Status> EndStream() = 0;
  // kInvalid if the request is not a WebSocket handshake; then the caller responds.
  virtual Async<base::Result<std::unique_ptr<WebSocket>>> Upgrade(size_t max_message_bytes) = 0;

  // Whether an answer was begun.
  virtual bool answered() const = 0;

  // Cancelled when the client goes away before it has its answer, or the server ends in a hurry.
  virtual Cancellation& cancellation() = 0;
  // Cancelled when the server is about to end: what only waits for a client is to end, too.
  virtual Cancellation* ending() { return nullptr; }
  // For the access log: what was asked for, beyond the path ("sandbox.start default/test").
  virtual void Note(std::string what) = 0;
  // Whose key it is (its id, never the key): for the access log, and for what the server holds.
  virtual void NoteKey(std::string key_id) { (void)key_id; }
  // What this request makes the server hold, from NoteKey on; its body and a long answer are in it.
  virtual std::shared_ptr<MemoryBudget::Hold> hold() { return nullptr; }
};

using Handler = std::function<Async<void>(Exchange&)>;

}  // namespace msb::server::http
