#include "src/server/http/web_socket.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <utility>

#include "src/base/bytes.h"

namespace msb::server::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using base::ErrorCode;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// A ping goes out after half of it without a word; whoever answers none is gone.
constexpr auto kIdle = std::chrono::seconds(60);
constexpr auto kHandshake = std::chrono::seconds(10);

class BeastWebSocket : public WebSocket {
 public:
  BeastWebSocket(asio::ip::tcp::socket& socket, Cancellation& gone, size_t max_message_bytes)
      : stream_(socket), gone_(gone), idle_(socket.get_executor()) {
    beast::websocket::stream_base::timeout timeouts = {
        .handshake_timeout = kHandshake, .idle_timeout = kIdle, .keep_alive_pings = true};
    stream_.set_option(timeouts);
    stream_.read_message_max(max_message_bytes);
    stream_.auto_fragment(false);
    stream_.text(true);
    idle_.Set();
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

  Async<base::Result<std::string>> Receive() override {
    beast::flat_buffer buffer;
    const auto [error, size] = co_await stream_.async_read(buffer, kAwait);
    if (error) co_return Failed(error);
    std::string text(static_cast<const char*>(buffer.cdata().data()), size);
    if (!stream_.got_text()) {
      co_return base::Error(ErrorCode::kProtocol, "the message is binary: send text");
    }
    co_return text;
  }

  Async<base::Status> Send(std::string text) override {
    co_await Enter();
    const auto [error, size] =
        co_await stream_.async_write(asio::buffer(text.data(), text.size()), kAwait);
    Leave();
    if (error) co_return Failed(error);
    co_return base::Status();
  }

  Async<void> Close(uint16_t code, std::string reason) override {
    constexpr size_t kMaxReason = 123;  // RFC 6455, 5.5: a control frame has 125 bytes
    reason.resize(std::min(reason.size(), kMaxReason));
    if (!base::IsValidUtf8(reason)) reason.clear();
    co_await Enter();
    if (stream_.is_open()) {
      (void)co_await stream_.async_close({beast::websocket::close_code(code), reason}, kAwait);
    }
    Leave();
  }

 private:
  // One write at a time, the others wait for it.
  Async<void> Enter() {
    while (!idle_.is_set()) co_await idle_.Wait();
    idle_.Clear();
  }
  void Leave() { idle_.Set(); }

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

  beast::websocket::stream<asio::ip::tcp::socket&> stream_;
  Cancellation& gone_;
  Event idle_;
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
                                                              size_t max_message_bytes) {
  auto opened = std::make_unique<BeastWebSocket>(socket, gone, max_message_bytes);
  CO_TRY(co_await opened->Accept(request));
  co_return std::unique_ptr<WebSocket>(std::move(opened));
}

}  // namespace msb::server::http
