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
  // `ending`: of the server, which closes the socket once no call is open; absent: never.
  Async<void> Run(Cancellation* ending);

 private:
  class Notifier;

  Async<void> ServeOne(Request request, http::MemoryBudget::Hold held);
  // Closes the socket, as a call of ours.
  void Leave(uint16_t code, std::string reason);
  static Async<void> Close(std::shared_ptr<WebSocketSession> self, uint16_t code,
                           std::string reason);
  void LeaveIfIdle();
  void Begin();
  void End();
  void ExpireWithKey();
  Async<base::Status> Send(base::json::Value message);

  Loop& loop_;
  Service& service_;
  CallCounters& counters_;
  const Caller caller_;
  std::unique_ptr<http::WebSocket> socket_;
  Cancellation closed_;
  bool ending_ = false;
  bool leaving_ = false;
  // Calls, and the closing by us: Run waits for them, since the socket's own is the
  // connection's.
  size_t open_ = 0;
  Event idle_;  // set while no call is open
  std::optional<http::Deadline> expiry_;
};

}  // namespace msb::server::rpc
