// Endpoint: JSON-RPC over HTTP: answered at once, or as an event stream; and over WebSocket.
//
//   POST /api/v1/rpc    Accept: text/event-stream asks for a stream of the methods that have one:
//                       events as they come, then `response` with the JSON-RPC response, or `error`
//                       with {"error","code","status"}
//   GET  /api/v1/ws     requests in any number at once; events come as notifications
//                       {"method":"sandbox.event","params":{"id","event","data"}}
//
// Owned by the server; one thread. Whoever calls has authenticated the caller.
#pragma once

#include "src/server/auth/caller.h"
#include "src/server/http/exchange.h"
#include "src/server/loop.h"
#include "src/server/metrics.h"
#include "src/server/rpc/message.h"
#include "src/server/service.h"

namespace msb::server::rpc {

class Endpoint {
 public:
  static constexpr size_t kMaxBody = 16 * 1024 * 1024;
  static constexpr size_t kMaxOpenCalls = 64;  // of one WebSocket

  Endpoint(Loop& loop, Service& service, CallCounters& counters)
      : loop_(loop), service_(service), counters_(counters) {}

  Async<void> HandlePost(http::Exchange& exchange, const Caller& caller);
  Async<void> HandleWebSocket(http::Exchange& exchange, const Caller& caller);

 private:
  Async<void> Stream(http::Exchange& exchange, const Caller& caller, Request request);

  Loop& loop_;
  Service& service_;
  CallCounters& counters_;
};

// Serves a request, and counts it.
Async<base::Result<base::json::Value>> Serve(Service& service, CallCounters& counters, Call call,
                                             Request request);

}  // namespace msb::server::rpc
