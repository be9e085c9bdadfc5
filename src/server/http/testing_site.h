// For tests of the whole HTTP layer, from outside, over real sockets: a server with a handler of
// each kind.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "src/server/http/testing.h"

namespace msb::server::http {

inline Async<void> SayHello(Exchange& exchange) {
  exchange.Note("hello");
  exchange.NoteKey("key-1");
  co_await exchange.Respond({.content_type = "text/plain", .body = "hello"});
}

inline Async<void> Echo(Exchange& exchange) {
  auto body = co_await exchange.ReadBody(1 << 20);
  if (!body) co_return co_await exchange.Respond(BodyErrorResponse(body.error()));
  co_await exchange.Respond({.body = *std::move(body)});
}

inline Async<void> IgnoreBody(Exchange& exchange) {
  co_await exchange.Respond({.body = "ignored"});
}

inline Async<void> StreamThree(Exchange& exchange) {
  (void)co_await exchange.BeginStream(200, "text/event-stream", {}, std::nullopt);
  for (const char* piece : {"one", "", "three"}) (void)co_await exchange.Write(piece);
  (void)co_await exchange.EndStream();
}

inline Async<void> AnswerNothing(Exchange&) { co_return; }

inline Async<void> EchoMessages(Exchange& exchange) {
  auto socket = co_await exchange.Upgrade(1000);
  if (!socket) {
    co_return co_await exchange.Respond(ErrorResponse(400, 2001, socket.error().message()));
  }
  while (true) {
    auto message = co_await (*socket)->Receive();
    if (!message && message.error().code() == base::ErrorCode::kLimit) {
      co_return co_await (*socket)->Close(1009, "too long");
    }
    if (!message && message.error().code() == base::ErrorCode::kBusy) {
      co_return co_await (*socket)->Close(1013, "too much");
    }
    if (!message) co_return;
    if (!co_await (*socket)->Send(std::move(message->text))) co_return;
  }
}

inline Site MakeSite() {
  Site site;
  site.router.Add("GET", "/hello", RequestType::kAny, SayHello);
  site.router.Add("POST", "/echo", RequestType::kJson, Echo);
  site.router.Add("PUT", "/raw", RequestType::kAny, Echo);
  site.router.Add("POST", "/ignore", RequestType::kAny, IgnoreBody);
  site.router.Add("GET", "/stream", RequestType::kAny, StreamThree);
  site.router.Add("GET", "/nothing", RequestType::kAny, AnswerNothing);
  site.router.Add("GET", "/socket", RequestType::kAny, EchoMessages);
  return site;
}

class HttpServer : public testing::Test {
 protected:
  void Start(Site site = MakeSite(), Admit admit = {},
             MemoryBudget::Limits budget = MemoryBudget::DefaultLimits()) {
    server_ = std::make_unique<TestServer>(std::move(site), std::move(admit), budget);
  }
  Answer Ask(std::string_view bytes) { return Client(server_->port()).Ask(bytes); }

  std::unique_ptr<TestServer> server_;
};

}  // namespace msb::server::http
