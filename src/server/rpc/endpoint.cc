#include "src/server/rpc/endpoint.h"

#include "src/server/http/response_head.h"
#include "src/server/json_size.h"
#include "src/server/rpc/event_stream.h"
#include "src/server/rpc/web_socket_session.h"

namespace msb::server::rpc {
namespace {

using base::json::Value;

http::Response Answer(int status, const Value& value) {
  return {.status = status,
          .content_type = "application/json",
          .body = base::json::WriteValue(value),
          .headers = {}};
}

http::Response Answer(const ApiError& error) {
  return {.status = error.status,
          .content_type = "application/json",
          .body = BodyOf(error),
          .headers = {}};
}

bool WantsStream(const http::Request& request) {
  return request.Header("accept").find("text/event-stream") != std::string_view::npos;
}

// In a stream the status was said already.
struct StreamError {
  std::string error;
  int code = 0;
  int status = 0;
};
BOOST_DESCRIBE_STRUCT(StreamError, (), (error, code, status))

base::Error TooManyStreams() {
  return base::Fail(
      base::ErrorCode::kLimit,
      "this key has too many streams at once, or answers that were not read: end one");
}

}  // namespace

Async<base::Result<Value>> Serve(Service& service, CallCounters& counters, Call call,
                                 Request request) {
  const auto began = Clock::now();
  ++counters.running;
  const bool held = call.sink == nullptr || call.caller.MayHold(kStreamBytes);
  auto result = held ? co_await request.method->call(service, call, std::move(request.params))
                     : base::Result<Value>(TooManyStreams());
  --counters.running;
  if (!result && !call.cancellation.why().empty()) {
    result = base::Fail(base::ErrorCode::kClosed, "{}", call.cancellation.why());
  }
  CallCounters::Method& counter = counters.methods[request.method->name];
  counter.seconds += std::chrono::duration<double>(Clock::now() - began).count();
  if (result) ++counter.succeeded;
  if (!result) ++counter.failed[ApiErrorOf(result.error()).code];
  co_return result;
}

Async<void> Endpoint::HandlePost(http::Exchange& exchange, const Caller& caller) {
  auto body = co_await exchange.ReadBody(kMaxBody);
  if (!body) {
    co_return co_await exchange.Respond(http::BodyErrorResponse(body.error()));
  }
  auto request =
      co_await ParseAside(loop_.Others(Loop::Lane::kLook), *std::move(body), ParseRequest);
  if (!request) {
    co_return co_await exchange.Respond(
        Answer(request.error().status, ResponseOf(request.error())));
  }
  exchange.Note(fmt::format("{} {}", request->method->name,
                            SandboxOf(request->params, caller.OwnNamespace())));
  if (request->method->streams && WantsStream(exchange.request())) {
    co_return co_await Stream(exchange, caller, *std::move(request));
  }
  Call call{.caller = caller, .cancellation = exchange.cancellation(), .sink = nullptr};
  const Value id = request->id;
  auto result = co_await Serve(service_, counters_, call, *std::move(request));
  if (!result) co_return co_await exchange.Respond(Answer(ApiErrorOf(result.error())));
  co_await exchange.Respond(Answer(200, ResponseOf(id, *std::move(result))));
}

Async<void> Endpoint::Stream(http::Exchange& exchange, const Caller& caller, Request request) {
  EventStream stream(loop_, exchange);
  if (!co_await stream.Begin()) co_return;
  Call call{.caller = caller, .cancellation = exchange.cancellation(), .sink = &stream};
  const Value id = request.id;
  auto result = co_await Serve(service_, counters_, call, std::move(request));
  // A client that has gone needs no answer.
  if (result) {
    (void)co_await stream.End("response",
                              base::json::WriteValue(ResponseOf(id, *std::move(result))));
  } else {
    const ApiError error = ApiErrorOf(result.error());
    (void)co_await stream.End(
        "error", base::json::Write(StreamError{error.message, error.code, error.status}));
  }
}

Async<void> Endpoint::HandleWebSocket(http::Exchange& exchange, const Caller& caller) {
  auto socket = co_await exchange.Upgrade(kMaxBody);
  if (!socket) {
    co_return co_await exchange.Respond(Answer(ApiErrorOf(socket.error())));
  }
  const auto session =
      std::make_shared<WebSocketSession>(loop_, service_, counters_, caller, *std::move(socket));
  co_await session->Run(exchange.ending());
}

}  // namespace msb::server::rpc
