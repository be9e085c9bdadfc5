#include "src/server/http/connection.h"

#include <array>
#include <ctime>
#include <utility>
#include <vector>

#include "src/base/log.h"

namespace msb::server::http {
namespace {

using std::chrono::seconds;

std::string Now() {
  timespec now = {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm parts = {};
  ::gmtime_r(&now.tv_sec, &parts);
  std::array<char, 32> text = {};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", std::string_view(text.data(), size), now.tv_nsec / 1'000'000);
}

std::string AddressOf(const boost::asio::ip::tcp::endpoint& endpoint) {
  return endpoint.address().to_string();
}

std::string PeerOf(const boost::asio::ip::tcp::endpoint& endpoint) {
  const char* format = endpoint.address().is_v6() ? "[{}]:{}" : "{}:{}";
  return fmt::format(fmt::runtime(format), AddressOf(endpoint), endpoint.port());
}

Headers With(Headers headers, std::string name, std::string value) {
  headers.emplace_back(std::move(name), std::move(value));
  return headers;
}

}  // namespace

Connection::Connection(const Site& site, boost::asio::ip::tcp::socket socket, std::string id)
    : site_(site), transport_(std::make_shared<Transport>(std::move(socket))), id_(std::move(id)) {
  boost::system::error_code gone;
  peer_ = PeerOf(transport_->socket().remote_endpoint(gone));
  local_address_ = AddressOf(transport_->socket().local_endpoint(gone));
}

Async<void> Connection::Serve() {
  while (!finishing_) {
    auto head = co_await ReadHead();
    if (!head) break;
    if (!*head) {
      co_await RefuseHead(std::move(head->error()));
      co_await Linger();
      break;
    }
    if (!co_await ServeOne(**std::move(head))) {
      co_await Linger();
      break;
    }
  }
  transport_->Close();
}

Async<std::optional<Accepted<Head>>> Connection::ReadHead() {
  const ConnectionLimits& limits = site_.limits;
  HeadScanner scanner(limits);
  idle_since_ = Clock::now();
  Clock::time_point deadline = idle_since_ + seconds(limits.idle_s);
  bool begun = false;
  while (true) {
    if (!transport_->buffered().empty()) {
      if (!std::exchange(begun, true)) deadline = Clock::now() + seconds(limits.head_s);
      const auto size = scanner.Scan(transport_->buffered());
      if (!size) co_return std::unexpected(size.error());
      if (*size) {
        auto head = ParseHead(transport_->buffered().substr(0, **size), limits);
        transport_->Consume(**size);
        co_return head;
      }
    }
    const auto more = co_await transport_->Fill(deadline);
    if (!more && more.error().code() == base::ErrorCode::kTimeout && begun) {
      co_return Refuse(408, "the header did not come within {} s", limits.head_s);
    }
    if (!more || *more == 0 || finishing_) co_return std::nullopt;
  }
}

Async<bool> Connection::ServeOne(Head head) {
  head.request.peer = peer_;
  head.request.id = NextId();
  const Clock::time_point started = Clock::now();
  ServedExchange exchange(*transport_, head, site_.limits, *site_.budget,
                          CorsHeaders(site_.policy, head.request));
  running_ = &exchange;
  ++site_.counters->requests_running;
  if (cancelled_) exchange.Cancel();
  co_await Answer(exchange);
  if (!exchange.answered()) {
    co_await exchange.Respond(
        ErrorResponse(500, 5002, "the server has no answer to this request: that is a defect"));
  }
  --site_.counters->requests_running;
  running_ = nullptr;
  known_ = known_ || exchange.key();
  const bool goes_on = exchange.Finish();
  Record(started, head.request, exchange.status(), &exchange);
  co_return goes_on;
}

Async<void> Connection::Answer(ServedExchange& exchange) {
  const Request& request = exchange.request();
  Accepted<void> accepted = CheckHost(site_.policy, request.Header("host"), local_address_);
  if (accepted) accepted = CheckOrigin(site_.policy, request);
  if (!accepted) co_return co_await exchange.Respond(RefusalResponse(accepted.error()));

  const Router::Found found = site_.router.Find(request.method, request.path);
  if (found.allow.empty()) {
    co_return co_await exchange.Respond(ErrorResponse(
        404, kRefusedCode, fmt::format("there is nothing at the path {}", request.path)));
  }
  if (found.route == nullptr && request.method == "OPTIONS") {
    Headers headers = IsPreflight(site_.policy, request) ? PreflightHeaders(request) : Headers();
    co_return co_await exchange.Respond(
        {.status = 204, .headers = With(std::move(headers), "Allow", found.allow)});
  }
  if (found.route == nullptr) {
    Response response = ErrorResponse(
        405, kRefusedCode,
        fmt::format("{} does not take {}: use {}", request.path, request.method, found.allow));
    response.headers = With({}, "Allow", found.allow);
    co_return co_await exchange.Respond(std::move(response));
  }
  if (found.route->type == RequestType::kJson) accepted = CheckJsonType(request);
  if (!accepted) co_return co_await exchange.Respond(RefusalResponse(accepted.error()));
  co_await found.route->handler(exchange);
}

// What was sent is no request, so how it goes on is not known either.
Async<void> Connection::RefuseHead(Refusal refusal) {
  Request request;
  request.peer = peer_;
  request.id = NextId();
  const Clock::time_point started = Clock::now();
  const Response response = RefusalResponse(refusal);
  const std::string bytes = FormatHead({.status = response.status,
                                        .content_type = response.content_type,
                                        .request_id = request.id,
                                        .framing = BodyFraming::kLength,
                                        .length = response.body.size(),
                                        .keep_alive = false},
                                       {}) +
                            response.body;
  const auto sent = co_await transport_->Write(bytes, Pace(site_.limits));
  Record(started, request, sent ? response.status : 0, nullptr);
}

// Closing while the client still sends would make its kernel throw our answer away (RFC 9112, 9.6).
Async<void> Connection::Linger() {
  transport_->ShutDownSending();
  const Clock::time_point deadline = Clock::now() + seconds(site_.limits.linger_s);
  std::vector<char> dropped(64 << 10);
  size_t left = site_.limits.linger_bytes;
  while (!cancelled_) {
    const auto size = co_await transport_->Read(dropped, deadline);
    if (!size || *size == 0 || *size >= left) break;
    left -= *size;
  }
}

void Connection::FinishSoon() {
  finishing_ = true;
  if (running_ != nullptr) {
    running_->EndKeepAlive();
  } else {
    transport_->ShutDown();
  }
}

void Connection::Cancel() {
  FinishSoon();
  cancelled_ = true;
  if (running_ != nullptr) running_->Cancel();
}

void Connection::Abort() {
  aborted_ = true;
  transport_->ShutDown();
}

bool Connection::is_stranger() const {
  return !known_ && (running_ == nullptr || !running_->key());
}

std::string Connection::NextId() { return fmt::format("{}-{}", id_, ++requests_); }

void Connection::Record(Clock::time_point started, const Request& request, int status,
                        const ServedExchange* exchange) {
  const std::chrono::duration<double> taken = Clock::now() - started;
  const uint64_t in = transport_->bytes_in() - std::exchange(counted_in_, transport_->bytes_in());
  const uint64_t out =
      transport_->bytes_out() - std::exchange(counted_out_, transport_->bytes_out());
  site_.counters->CountResponse(status, taken);
  site_.counters->bytes_in += in;
  site_.counters->bytes_out += out;
  if (site_.access_log == nullptr) return;
  AccessRecord record;
  record.time = Now();
  record.request = request.id;
  record.peer = request.peer;
  record.method = request.method;
  record.path = request.path;
  record.status = status;
  record.bytes_in = in;
  record.bytes_out = out;
  record.us = static_cast<uint64_t>(taken.count() * 1e6);
  if (exchange != nullptr) record.key = exchange->key();
  if (exchange != nullptr) record.note = exchange->note();
  site_.access_log->Write(std::move(record));
}

}  // namespace msb::server::http
