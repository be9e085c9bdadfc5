// Endpoint: MCP's Streamable HTTP, one path: POST receives messages, GET gives the server's own and
// what a lost connection missed (Last-Event-ID), DELETE ends the session.
//
// Made by main; one thread; outlives what it handles. Host, Origin and peer were checked before
// (http/exchange.h). A session is bound to the key it was begun with: to any other it does not
// exist. Bounded: sessions in all and of each key, events of each stream, streams kept for
// resumption. A session that has no connection for `idle` ends; so do the calls whose stream nobody
// has read for `orphan`.
//
// modelcontextprotocol.io/specification, basic/transports.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "src/server/async.h"
#include "src/server/auth/caller.h"
#include "src/server/http/exchange.h"
#include "src/server/mcp/features.h"
#include "src/server/mcp/message.h"

namespace msb::server::mcp {

struct EndpointOptions {
  size_t max_sessions = 1000;
  size_t max_sessions_of_key = 100;  // the longest idle one of the key makes room
  size_t max_body_bytes = 16 << 20;
  std::chrono::milliseconds idle = std::chrono::minutes(30);
  std::chrono::milliseconds orphan = std::chrono::minutes(2);
  std::chrono::milliseconds keep_alive = std::chrono::seconds(15);  // a comment in silent streams
  std::chrono::milliseconds retry = std::chrono::seconds(1);        // when clients come back
  boost::asio::any_io_executor parser = {};  // for long messages; empty: parsed where all is done
};

// The HTTP status that the stateless protocol has for an error's code.
int StatusOf(int code);

class Endpoint {
 public:
  // Who asks; kDenied if nobody that is known. Its message is for the client.
  using Authenticate = std::function<base::Result<Caller>(const http::Request& request)>;

  Endpoint(boost::asio::any_io_executor executor, std::shared_ptr<const Features> features,
           Authenticate authenticate, EndpointOptions options = {});
  ~Endpoint();  // as Close
  Endpoint(const Endpoint&) = delete;

  Async<void> Handle(http::Exchange& exchange);
  // The server ends: so do all sessions, their calls and streams.
  void Close();

  size_t sessions() const { return connections_.size(); }

 private:
  class Connection;  // a session with its streams

  Async<void> Post(http::Exchange& exchange, Caller caller);
  Async<void> PostStateless(http::Exchange& exchange, Caller caller, Message message);
  Async<void> Get(http::Exchange& exchange, Caller caller);
  Async<void> Delete(http::Exchange& exchange, Caller caller);
  Async<void> Begin(http::Exchange& exchange, Caller caller, Message initialize);
  Async<void> Deliver(http::Exchange& exchange, Caller caller,
                      std::shared_ptr<Connection> connection, Incoming incoming);

  // The one that the request names, if it is the caller's.
  std::shared_ptr<Connection> Find(const http::Request& request, const Caller& caller) const;
  bool MakeRoom(const std::string& key_id);
  void End(const std::string& id);

  boost::asio::any_io_executor executor_;
  std::shared_ptr<const Features> features_;
  Authenticate authenticate_;
  EndpointOptions options_;
  std::unordered_map<std::string, std::shared_ptr<Connection>> connections_;
};

}  // namespace msb::server::mcp
