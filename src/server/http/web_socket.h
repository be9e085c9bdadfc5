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

// Answers the handshake. `socket` and `gone` outlive the result; `gone` is cancelled when the
// client has closed or is silent for too long. Pings go out by themselves.
Async<base::Result<std::unique_ptr<WebSocket>>> OpenWebSocket(boost::asio::ip::tcp::socket& socket,
                                                              const Request& request,
                                                              Cancellation& gone,
                                                              size_t max_message_bytes);

}  // namespace msb::server::http
