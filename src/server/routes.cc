#include "src/server/routes.h"

#include <unistd.h>

#include <charconv>

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/sys.h"
#include "src/server/rpc/openapi.h"

namespace msb::server {
namespace {

constexpr double kMillisInSecond = 1000;

Async<void> Health(http::Exchange& exchange) {
  co_await exchange.Respond({.status = 200,
                             .content_type = "application/json",
                             .body = R"({"message":"Service is healthy"})",
                             .headers = {}});
}

Async<void> OpenApi(http::Exchange& exchange) {
  static const std::string kText = base::json::WritePretty(rpc::OpenApi());
  co_await exchange.Respond(
      {.status = 200, .content_type = "application/json", .body = kText, .headers = {}});
}

uint64_t ResidentBytes() {
  const auto text = base::ReadFile("/proc/self/statm", 256);
  if (!text) return 0;
  const size_t space = text->find(' ');
  uint64_t pages = 0;
  std::from_chars(text->data() + space + 1, text->data() + text->size(), pages);
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

Routes::Routes(Loop& loop, Engine& engine, const http::Counters& http, Authenticate authenticate)
    : engine_(engine),
      http_(http),
      authenticate_(std::move(authenticate)),
      rpc_(loop, engine, calls_),
      files_(engine),
      started_s_(static_cast<double>(sandbox::WallClockMs()) / kMillisInSecond) {}

void Routes::AddTo(http::Router& router) {
  using http::RequestType;
  router.Add("GET", "/api/v1/health", RequestType::kAny, Health);
  router.Add("GET", "/api/v1/openapi.json", RequestType::kAny, OpenApi);
  router.Add("POST", "/api/v1/rpc", RequestType::kJson, ForCallers(&Routes::Rpc));
  router.Add("GET", "/api/v1/ws", RequestType::kAny, ForCallers(&Routes::WebSocket));
  router.Add("GET", "/api/v1/files", RequestType::kAny, ForCallers(&Routes::GetFile));
  router.Add("PUT", "/api/v1/files", RequestType::kAny, ForCallers(&Routes::PutFile));
  router.Add("GET", "/metrics", RequestType::kAny, ForCallers(&Routes::Metrics));
}

http::Handler Routes::ForCallers(Handle handle) {
  return [this, handle](http::Exchange& exchange) { return Serve(exchange, handle); };
}

Async<void> Routes::Serve(http::Exchange& exchange, Handle handle) {
  auto caller = authenticate_(exchange.request());
  if (!caller) {
    const ApiError& error = caller.error();
    co_return co_await exchange.Respond({.status = error.status,
                                         .content_type = "application/json",
                                         .body = BodyOf(error),
                                         .headers = {{"WWW-Authenticate", "Bearer"}}});
  }
  exchange.NoteKey(caller->key_id);
  caller->hold = exchange.hold();
  co_await (this->*handle)(exchange, *caller);
}

Async<void> Routes::Rpc(http::Exchange& exchange, const Caller& caller) {
  co_await rpc_.HandlePost(exchange, caller);
}

Async<void> Routes::WebSocket(http::Exchange& exchange, const Caller& caller) {
  co_await rpc_.HandleWebSocket(exchange, caller);
}

Async<void> Routes::GetFile(http::Exchange& exchange, const Caller& caller) {
  co_await files_.HandleGet(exchange, caller);
}

Async<void> Routes::PutFile(http::Exchange& exchange, const Caller& caller) {
  co_await files_.HandlePut(exchange, caller);
}

Async<void> Routes::Metrics(http::Exchange& exchange, const Caller& caller) {
  MetricsInput input{.http = http_, .calls = calls_, .sandboxes = {}};
  auto listed = co_await engine_.sandboxes().List(caller.namespace_, Measuring::kYes);
  if (!listed) LOG(kWarning, "cannot list the sandboxes: {}", listed.error().message());
  if (listed) input.sandboxes = *std::move(listed);
  std::erase_if(input.sandboxes, [](const Listed& one) { return !one.running(); });
  input.resident_bytes = ResidentBytes();
  input.start_time_s = started_s_;
  co_await exchange.Respond({.status = 200,
                             .content_type = "text/plain; version=0.0.4; charset=utf-8",
                             .body = PrometheusText(input),
                             .headers = {}});
}

}  // namespace msb::server
