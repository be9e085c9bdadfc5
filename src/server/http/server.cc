#include "src/server/http/server.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <utility>

#include "src/base/log.h"
#include "src/base/sys.h"

namespace msb::server::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr auto kLastGrace = std::chrono::seconds(1);

void ReportEscaped(std::exception_ptr escaped) {
  if (!escaped) return;
  try {
    std::rethrow_exception(escaped);
  } catch (const std::exception& exception) {
    LOG(kError, "an exception ended a connection: {}", exception.what());
  }
}

base::Error FailToListen(const std::string& address, uint16_t port, const error_code& error) {
  const bool taken = error == asio::error::address_in_use;
  return base::Fail(
      taken ? base::ErrorCode::kBusy : base::ErrorCode::kSystem,
      "cannot listen on {} port {}: {}{}", address, port, error.message(),
      taken ? ". Another program has the port: end it, or choose another with --port" : "");
}

}  // namespace

Server::Server(asio::io_context& context, Site site, Admit admit)
    : context_(context),
      site_(std::move(site)),
      admit_(std::move(admit)),
      run_id_(base::RandomHex(4)),
      ended_(context.get_executor()) {
  CHECK(site_.counters != nullptr && site_.budget != nullptr);
}

base::Result<Endpoint> Server::Listen(const std::string& address, uint16_t port) {
  error_code error;
  const asio::ip::address parsed = asio::ip::make_address(address, error);
  if (error) {
    return base::Fail(base::ErrorCode::kInvalid,
                      "cannot listen on {}: it is no address such as 127.0.0.1 or ::1", address);
  }
  const Endpoint endpoint(parsed, port);
  auto acceptor = std::make_shared<tcp::acceptor>(context_);
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(asio::socket_base::reuse_address(true), error);
  if (!error && parsed.is_v6()) acceptor->set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error) return FailToListen(address, port, error);
  TRY(base::SetCloseOnExec(acceptor->native_handle(), true));
  acceptors_.push_back(acceptor);
  asio::co_spawn(context_, Accept(acceptor), ReportEscaped);
  return acceptor->local_endpoint(error);
}

Async<void> Server::Accept(std::shared_ptr<tcp::acceptor> acceptor) {
  while (acceptor->is_open()) {
    auto [error, socket] = co_await acceptor->async_accept(kAwait);
    if (!error) {
      Take(std::move(socket));
    } else if (acceptor->is_open() && error != asio::error::connection_aborted) {
      static base::LogRate rate;
      if (rate.Allow()) LOG(kWarning, "cannot accept a connection: {}", error.message());
      // No descriptors or no memory: they come back when something ends, which need not be a
      // connection of ours.
      ended_.Clear();
      (void)co_await ended_.Wait(Clock::now() + std::chrono::seconds(1));
    }
  }
}

void Server::Take(tcp::socket socket) {
  error_code gone;
  const Endpoint peer = socket.remote_endpoint(gone);
  if (gone) return;
  const Endpoint local = socket.local_endpoint(gone);
  ++site_.counters->connections_accepted;
  const base::Status admitted = admit_ ? admit_(peer, local) : base::Status();
  if (!admitted) {
    ++site_.counters->connections_refused;
    static base::LogRate rate;
    if (rate.Allow()) {
      LOG(kWarning, "refused a connection from {} port {}: {}", peer.address().to_string(),
          peer.port(), admitted.error().message());
    }
    return;
  }
  (void)base::SetCloseOnExec(socket.native_handle(), true);
  if (connections_.size() >= site_.limits.connections && !MakeRoom()) {
    return RefuseTooMany(std::move(socket));
  }
  socket.set_option(tcp::no_delay(true), gone);
  asio::co_spawn(context_, Serve(std::move(socket)), ReportEscaped);
}

// Nobody who works is shut out by those who only wait: the oldest without a key goes, else the one
// that has waited longest for its next request, as it may at any time (RFC 9112, 9.5).
bool Server::MakeRoom() {
  Connection* least = nullptr;
  for (Connection* connection : connections_) {
    if (connection->aborted()) continue;
    if (connection->is_stranger()) {
      least = connection;
      break;
    }
    if (!connection->is_idle()) continue;
    if (least == nullptr || connection->idle_since() < least->idle_since()) least = connection;
  }
  if (least == nullptr) return false;
  ++site_.counters->connections_refused;
  least->Abort();
  return true;
}

// Without waiting for anything: there may be very many of them.
void Server::RefuseTooMany(tcp::socket socket) {
  ++site_.counters->connections_refused;
  const Response response = ErrorResponse(
      503, kRefusedCode,
      fmt::format("the server has {} connections, its limit: try again later, or close some",
                  connections_.size()));
  const std::string bytes = FormatHead({.status = response.status,
                                        .content_type = response.content_type,
                                        .request_id = run_id_,
                                        .framing = BodyFraming::kLength,
                                        .length = response.body.size(),
                                        .keep_alive = false},
                                       {{"Retry-After", "1"}}) +
                            response.body;
  (void)::send(socket.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(socket.native_handle(), SHUT_WR);
  site_.counters->CountResponse(response.status, {});
}

Async<void> Server::Serve(tcp::socket socket) {
  Connection connection(site_, std::move(socket),
                        fmt::format("{}-{:x}", run_id_, ++last_connection_));
  const auto place = connections_.insert(connections_.end(), &connection);
  site_.counters->connections_open = connections_.size();
  if (draining_) connection.FinishSoon();
  co_await connection.Serve();
  connections_.erase(place);
  site_.counters->connections_open = connections_.size();
  ended_.Set();
}

Async<void> Server::Drain(Clock::time_point deadline) {
  draining_ = true;
  error_code ignored;
  for (const auto& acceptor : acceptors_) acceptor->close(ignored);
  for (Connection* connection : connections_) connection->FinishSoon();
  co_await WaitForEnds(deadline);
  for (Connection* connection : connections_) connection->Cancel();
  co_await WaitForEnds(Clock::now() + kLastGrace);
  for (Connection* connection : connections_) connection->Abort();
  co_await WaitForEnds(Clock::now() + kLastGrace);
}

Async<void> Server::WaitForEnds(Clock::time_point until) {
  while (!connections_.empty() && Clock::now() < until) {
    ended_.Clear();
    (void)co_await ended_.Wait(until);
  }
}

}  // namespace msb::server::http
