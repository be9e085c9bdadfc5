#include "src/server/rpc/web_socket_session.h"

#include <algorithm>
#include <ctime>

#include "src/server/http/response_head.h"
#include "src/server/json_size.h"
#include "src/server/rpc/endpoint.h"
#include "src/server/rpc/event_stream.h"

namespace msb::server::rpc {

using base::json::Object;
using base::json::Value;

// Says a call's events to the client.
class WebSocketSession::Notifier : public Sink {
 public:
  Notifier(WebSocketSession& session, Value id) : session_(session), id_(std::move(id)) {}

  Async<base::Status> Put(StreamEvent event) override {
    co_return co_await Notify(NameOf(event), DataOf(event));
  }
  Async<base::Status> Begun() override { co_return co_await Notify("begun", Object()); }

 private:
  Async<base::Status> Notify(std::string_view name, Value data) {
    co_return co_await session_.Send(
        Object{{"jsonrpc", "2.0"},
               {"method", "sandbox.event"},
               {"params", Object{{"id", id_}, {"event", name}, {"data", std::move(data)}}}});
  }

  WebSocketSession& session_;
  Value id_;
};

WebSocketSession::WebSocketSession(Loop& loop, Service& service, CallCounters& counters,
                                   Caller caller, std::unique_ptr<http::WebSocket> socket)
    : loop_(loop),
      service_(service),
      counters_(counters),
      caller_(std::move(caller)),
      socket_(std::move(socket)),
      idle_(loop.executor()) {
  idle_.Set();
}

void WebSocketSession::ExpireWithKey() {
  constexpr int64_t kLongest_s = 366 * 86400;  // no socket lives so long
  if (!caller_.expires_s) return;
  const int64_t left_s = std::min(*caller_.expires_s - ::time(nullptr), kLongest_s);
  expiry_.emplace(loop_.executor(), [this] {
    closed_.Cancel();
    Leave(1008, "the API key has expired");
  });
  expiry_->Set(Clock::now() + std::chrono::seconds(left_s));
}

void WebSocketSession::Leave(uint16_t code, std::string reason) {
  if (std::exchange(leaving_, true)) return;
  Begin();
  loop_.Spawn(Close(shared_from_this(), code, std::move(reason)));
}

Async<void> WebSocketSession::Close(std::shared_ptr<WebSocketSession> self, uint16_t code,
                                    std::string reason) {
  co_await self->socket_->Close(code, std::move(reason));
  self->End();
}

void WebSocketSession::LeaveIfIdle() {
  if (ending_ && open_ == 0) Leave(1001, "the server ends");
}

Async<void> WebSocketSession::Run(Cancellation* ending) {
  const auto self = shared_from_this();
  std::optional<Cancellation::Watch> ends;
  if (ending != nullptr) {
    ends.emplace(*ending, [this] {
      ending_ = true;
      LeaveIfIdle();
    });
  }
  ExpireWithKey();
  for (;;) {
    auto message = co_await socket_->Receive();
    if (!message) {
      const base::Error& error = message.error();
      if (error.code() == base::ErrorCode::kLimit) co_await socket_->Close(1009, error.message());
      if (error.code() == base::ErrorCode::kBusy) co_await socket_->Close(1013, error.message());
      if (error.code() == base::ErrorCode::kProtocol) {
        co_await socket_->Close(1003, error.message());
      }
      break;
    }
    auto request = co_await ParseAside(loop_.Others(Loop::Lane::kLook), std::move(message->text),
                                       ParseRequest);
    if (!request) {
      if (!co_await Send(ResponseOf(request.error()))) break;
      continue;
    }
    if (open_ >= Endpoint::kMaxOpenCalls) {
      const ApiError error{429, 3002,
                           fmt::format("{} calls are open on this connection already", open_)};
      if (!co_await Send(ResponseOf(request->id, error))) break;
      continue;
    }
    Begin();
    loop_.Spawn(ServeOne(*std::move(request), std::move(message->hold)));
  }
  expiry_.reset();
  leaving_ = true;  // the client did
  closed_.Cancel();
  co_await idle_.Wait();
}

Async<void> WebSocketSession::ServeOne(Request request, http::MemoryBudget::Hold held) {
  const auto self = shared_from_this();
  const Value id = request.id;
  Notifier notifier(*this, id);
  Caller caller = caller_;
  caller.hold = std::make_shared<http::MemoryBudget::Hold>(std::move(held));
  Call call{.caller = caller, .cancellation = closed_, .sink = nullptr};
  if (request.method->streams) call.sink = &notifier;
  auto result = co_await Serve(service_, counters_, call, std::move(request));
  std::string answer = base::json::WriteValue(result ? ResponseOf(id, *std::move(result))
                                                     : ResponseOf(id, ApiErrorOf(result.error())));
  if (const auto taken = caller.hold->Take(answer.size()); !taken) {
    const ApiError error{503, http::kRefusedCode,
                         fmt::format("the request was served, but its answer of {} bytes cannot "
                                     "be given: {}",
                                     answer.size(), taken.error().message())};
    answer = base::json::WriteValue(ResponseOf(id, error));
  }
  // A client that has gone needs no answer.
  (void)co_await socket_->Send(std::move(answer));
  End();
}

void WebSocketSession::Begin() {
  ++open_;
  idle_.Clear();
}

void WebSocketSession::End() {
  if (--open_ > 0) return;
  idle_.Set();
  LeaveIfIdle();
}

Async<base::Status> WebSocketSession::Send(Value message) {
  co_return co_await socket_->Send(base::json::WriteValue(message));
}

}  // namespace msb::server::rpc
