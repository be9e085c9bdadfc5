// WebSocketSession: JSON-RPC over one WebSocket: requests are served side by side, what a call says
// comes as notifications with its id. When the socket closes its calls are cancelled; it closes
// when the caller's key expires.
//
// Held by a shared_ptr: calls may outlive the socket for as long as they take to notice. One
// thread.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "src/server/auth/caller.h"
#include "src/server/http/deadline.h"
#include "src/server/http/exchange.h"
#include "src/server/loop.h"
#include "src/server/metrics.h"
#include "src/server/rpc/message.h"
#include "src/server/service.h"

namespace msb::server::rpc {

class WebSocketSession : public std::enable_shared_from_this<WebSocketSession> {
 public:
  WebSocketSession(Loop& loop, Service& service, CallCounters& counters, Caller caller,
                   std::unique_ptr<http::WebSocket> socket);

  // Until it is closed, and all its calls have ended.
  Async<void> Run();

 private:
  class Notifier;

  Async<void> ServeOne(Request request, http::MemoryBudget::Hold hold);
  static Async<void> Expire(std::shared_ptr<WebSocketSession> self);
  void ExpireWithKey();
  Async<base::Status> Send(base::json::Value message);

  Loop& loop_;
  Service& service_;
  CallCounters& counters_;
  const Caller caller_;
  std::unique_ptr<http::WebSocket> socket_;
  Cancellation closed_;
  size_t open_ = 0;
  Event idle_;  // set while no call is open
  std::optional<http::Deadline> expiry_;
};

}  // namespace msb::server::rpc
