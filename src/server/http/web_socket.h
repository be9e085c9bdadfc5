// WebSockets over Boost.Beast: the handshake's check and the open socket. RFC 6455.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <memory>

#include "src/base/result.h"
#include "src/server/async.h"
#include "src/server/http/exchange.h"
#include "src/server/http/head.h"

namespace msb::server::http {

// kInvalid, with what is missing, unless it is a handshake.
base::Status CheckHandshake(const Head& head);

struct WebSocketOptions {
  size_t max_message_bytes;
  const ConnectionLimits& connection;
  MemoryBudget& budget;
  std::string key;  // whose the messages are
};

// Answers the handshake. `socket`, `gone` and what `options` refers to outlive the result; `gone`
// is cancelled when the client has closed or is silent for too long. Pings go out by themselves.
Async<base::Result<std::unique_ptr<WebSocket>>> OpenWebSocket(boost::asio::ip::tcp::socket& socket,
                                                              const Request& request,
                                                              Cancellation& gone,
                                                              WebSocketOptions options);

}  // namespace msb::server::http
