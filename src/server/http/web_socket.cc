#include "src/server/http/web_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <utility>

#include "src/base/bytes.h"
#include "src/server/http/deadline.h"
#include "src/server/http/pace.h"
#include "src/server/lock.h"

namespace msb::server::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using base::ErrorCode;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// A ping goes out after half of it without a word; whoever answers none is gone. It waits behind
// what is on its way, which a slow client may take as slowly as Pace has it: little is.
constexpr auto kIdle = std::chrono::seconds(300);
constexpr int kMaxUnsentBytes = 128 << 10;
constexpr auto kHandshake = std::chrono::seconds(10);
constexpr size_t kPieceBytes = 64 << 10;

class BeastWebSocket : public WebSocket {
 public:
  BeastWebSocket(asio::ip::tcp::socket& socket, Cancellation& gone, WebSocketOptions options)
      : options_(std::move(options)),
        stream_(socket),
        gone_(gone),
        writing_(socket.get_executor()),
        read_deadline_(socket.get_executor(), [&socket] { ShutDown(socket); }),
        write_deadline_(socket.get_executor(), [&socket] { ShutDown(socket); }) {
    beast::websocket::stream_base::timeout timeouts = {
        .handshake_timeout = kHandshake, .idle_timeout = kIdle, .keep_alive_pings = true};
    stream_.set_option(timeouts);
    stream_.read_message_max(options_.max_message_bytes);
    stream_.auto_fragment(false);
    stream_.text(true);
    // One that fails only makes slow clients slower to hear of.
    (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kMaxUnsentBytes,
                       sizeof kMaxUnsentBytes);
  }

  Async<base::Status> Accept(const Request& request) {
    beast::http::request<beast::http::empty_body> handshake;
    handshake.method(beast::http::verb::get);
    handshake.target(request.path);
    for (const auto& [name, value] : request.headers) handshake.insert(name, value);
    stream_.set_option(beast::websocket::stream_base::decorator(
        [id = request.id](beast::websocket::response_type& response) {
          response.set("X-Request-Id", id);
          response.erase(beast::http::field::server);
        }));
    const auto [error] = co_await stream_.async_accept(handshake, kAwait);
    if (error) co_return Failed(error);
    co_return base::Status();
  }

  Async<base::Result<Message>> Receive() override {
    Message message{.text = {}, .hold = MemoryBudget::Hold(options_.budget, options_.key)};
    auto buffer = asio::dynamic_buffer(message.text);
    Pace pace(options_.connection);
    for (bool begun = false; !begun || !stream_.is_message_done(); begun = true) {
      if (begun) read_deadline_.Set(pace.Begin());
      const auto [error, size] = co_await stream_.async_read_some(buffer, kPieceBytes, kAwait);
      read_deadline_.Clear();
      if (begun) pace.End(size);
      if (error) co_return Failed(error);
      CO_TRY(message.hold.Take(size));
    }
    if (!stream_.got_text()) {
      co_return base::Error(ErrorCode::kProtocol, "the message is binary: send text");
    }
    co_return message;
  }

  // In frames of one piece, so that a client is seen to take them.
  Async<base::Status> Send(std::string text) override {
    const Lock::Guard turn = co_await writing_.Acquire(never_);
    Pace pace(options_.connection);
    std::string_view left = text;
    boost::system::error_code failed;
    do {
      const std::string_view piece = left.substr(0, kPieceBytes);
      left.remove_prefix(piece.size());
      write_deadline_.Set(pace.Begin());
      const auto [error, size] = co_await stream_.async_write_some(
          left.empty(), asio::buffer(piece.data(), piece.size()), kAwait);
      write_deadline_.Clear();
      pace.End(size);
      failed = error;
    } while (!failed && !left.empty());
    if (failed) co_return Failed(failed);
    co_return base::Status();
  }

  Async<void> Close(uint16_t code, std::string reason) override {
    constexpr size_t kMaxReason = 123;  // RFC 6455, 5.5: a control frame has 125 bytes
    reason.resize(std::min(reason.size(), kMaxReason));
    if (!base::IsValidUtf8(reason)) reason.clear();
    const Lock::Guard turn = co_await writing_.Acquire(never_);
    if (stream_.is_open()) {
      (void)co_await stream_.async_close({beast::websocket::close_code(code), reason}, kAwait);
    }
  }

 private:
  static void ShutDown(asio::ip::tcp::socket& socket) {
    boost::system::error_code ignored;
    socket.shutdown(asio::socket_base::shutdown_both, ignored);
  }
  base::Error Failed(boost::system::error_code error) {
    gone_.Cancel();
    if (error == beast::websocket::error::message_too_big ||
        error == beast::websocket::error::buffer_overflow) {
      return {ErrorCode::kLimit, "the message is too long"};
    }
    if (error.category() ==
            beast::websocket::make_error_code(beast::websocket::error::closed).category() &&
        error != beast::websocket::error::closed) {
      return {ErrorCode::kProtocol, "the client breaks the WebSocket protocol: " + error.message()};
    }
    return {ErrorCode::kClosed, "the client has closed the WebSocket"};
  }

  const WebSocketOptions options_;
  beast::websocket::stream<asio::ip::tcp::socket&> stream_;
  Cancellation& gone_;
  Lock writing_;  // one message at a time
  Cancellation never_;
  Deadline read_deadline_;
  Deadline write_deadline_;
};

}  // namespace

base::Status CheckHandshake(const Head& head) {
  const Request& request = head.request;
  const auto need = [](const char* what) {
    return base::Fail(ErrorCode::kInvalid, "this path is for WebSockets: {}", what);
  };
  if (request.method != "GET" || head.http_1_0) return need("use GET and HTTP/1.1");
  if (!HasToken(request.Header("upgrade"), "websocket") ||
      !HasToken(request.Header("connection"), "upgrade")) {
    return need("send Connection: Upgrade and Upgrade: websocket");
  }
  if (request.Header("sec-websocket-version") != "13") return need("use version 13");
  const auto key = base::Base64Decode(request.Header("sec-websocket-key"));
  if (!key || key->size() != 16) return need("send a Sec-WebSocket-Key of 16 bytes");
  if (head.chunked || head.content_length.value_or(0) > 0) return need("send no body");
  return {};
}

Async<base::Result<std::unique_ptr<WebSocket>>> OpenWebSocket(asio::ip::tcp::socket& socket,
                                                              const Request& request,
                                                              Cancellation& gone,
                                                              WebSocketOptions options) {
  auto opened = std::make_unique<BeastWebSocket>(socket, gone, std::move(options));
  CO_TRY(co_await opened->Accept(request));
  co_return std::unique_ptr<WebSocket>(std::move(opened));
}

}  // namespace msb::server::http
