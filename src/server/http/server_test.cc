// The whole HTTP layer, from outside, over real sockets.
#include "src/server/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "src/server/http/testing_site.h"

namespace msb::server::http {
namespace {

using testing::HasSubstr;

TEST_F(HttpServer, AnswersWithItsOwnHeaders) {
  Start();
  const Answer answer = Ask(Get("/hello"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "hello");
  EXPECT_TRUE(answer.has("\r\nX-Request-Id: "));
  EXPECT_TRUE(answer.has("\r\nCache-Control: no-store\r\n"));
  EXPECT_TRUE(answer.has("\r\nX-Content-Type-Options: nosniff\r\n"));
  EXPECT_FALSE(answer.has("Access-Control"));
}

TEST_F(HttpServer, KeepsAConnectionForFurtherRequests) {
  Start();
  Client client(server_->port());
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(client.Ask(Get("/hello")).body, "hello");
    EXPECT_EQ(client.Ask(Post("/echo", "[1]")).body, "[1]");
  }
  EXPECT_FALSE(client.Ask(Get("/hello", "Connection: close\r\n")).has("keep-alive"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServer, AnswersPipelinedRequestsInTheirOrder) {
  Start();
  Client client(server_->port());
  client.Send(Post("/echo", "1") + Get("/stream") + Post("/echo", "3") + Get("/hello"));
  EXPECT_EQ(client.Receive().body, "1");
  EXPECT_EQ(client.Receive().body, "onethree");
  EXPECT_EQ(client.Receive().body, "3");
  EXPECT_EQ(client.Receive().body, "hello");
}

TEST_F(HttpServer, TakesARequestByteForByte) {
  Start();
  Client client(server_->port());
  for (const char c : Post("/echo", "[1,2]")) client.Send(std::string_view(&c, 1));
  EXPECT_EQ(client.Receive().body, "[1,2]");
}

TEST_F(HttpServer, ReadsChunkedBodies) {
  Start();
  Client client(server_->port());
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(
      client.Ask(head + "3\r\n[1,\r\nA;x=y\r\n2222222222\r\n1\r\n]\r\n0\r\nT: u\r\n\r\n").body,
      "[1,2222222222]");
  EXPECT_EQ(client.Ask(Get("/hello")).body, "hello");
  const Answer broken = client.Ask(head + "3\r\nabcd\r\n");
  EXPECT_EQ(broken.status, 400);
  EXPECT_THAT(broken.body, HasSubstr("chunk"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServer, TellsAClientThatAsksToGoOn) {
  Start();
  Client client(server_->port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.Take(25), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(client.Ask("{}").body, "{}");
}

TEST_F(HttpServer, DoesNotAskForABodyItWillNotTake) {
  Start();
  Client client(server_->port());
  const Answer answer = client.Ask(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n");
  EXPECT_EQ(answer.status, 413);
  EXPECT_TRUE(answer.has("Connection: close"));
}

TEST_F(HttpServer, AnswersEvenWhenTheBodyIsFarTooLong) {
  Start();
  Client client(server_->port());
  const Answer answer = client.Ask(Post("/echo", std::string(1100000, '1')));
  EXPECT_EQ(answer.status, 413);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServer, ARefusalReachesAClientThatSendsAllBeforeItReads) {
  Start();
  Client client(server_->port());
  const std::string body(50 << 20, 'x');
  client.Send("PUT /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n");
  client.Send(body);
  EXPECT_EQ(client.Receive().status, 404);
}

TEST_F(HttpServer, ABodyThatNobodyReadDoesNotBecomeARequest) {
  Start();
  Client client(server_->port());
  EXPECT_EQ(client.Ask(Post("/ignore", Get("/hello"))).body, "ignored");
  EXPECT_EQ(client.Ask(Get("/hello")).body, "hello");
  EXPECT_EQ(client.Ask(Post("/ignore", std::string(100000, 'x'))).body, "ignored");
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServer, HeadAndOptionsHaveNoBody) {
  Start();
  Client client(server_->port());
  client.Send("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(client.Receive(/*head_only=*/true).has("Content-Length: 5\r\n"));
  client.Send("HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.Receive(/*head_only=*/true).status, 200);
  const Answer options = client.Ask("OPTIONS /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(options.status, 204);
  EXPECT_TRUE(options.has("Allow: GET, HEAD, OPTIONS\r\n"));
  EXPECT_EQ(client.Ask(Get("/hello")).body, "hello");
}

TEST_F(HttpServer, SpeaksHttp10) {
  Start();
  Client client(server_->port());
  EXPECT_TRUE(client.Ask("GET /hello HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
                  .has("Connection: keep-alive"));
  client.Send("GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_FALSE(client.Receive().has("chunked"));
  EXPECT_EQ(client.Take(100), "onethree");
}

TEST_F(HttpServer, SaysWhatIsNotThere) {
  Start();
  const Answer missing = Ask(Get("/api/v2/thing"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr("/api/v2/thing"));
  const Answer wrong = Ask(Post("/hello", "{}"));
  EXPECT_EQ(wrong.status, 405);
  EXPECT_TRUE(wrong.has("Allow: GET, HEAD, OPTIONS\r\n"));
  EXPECT_EQ(Ask(Get("/nothing")).status, 500);
}

TEST_F(HttpServer, RefusesWhatAPageCouldSend) {
  Start();
  EXPECT_EQ(Ask(Post("/echo", "{}", "text/plain")).status, 415);
  EXPECT_EQ(Ask(Post("/echo", "{}", "application/x-www-form-urlencoded")).status, 415);
  EXPECT_EQ(Ask(Get("/hello", "Origin: http://evil.example\r\n")).status, 403);
  EXPECT_EQ(Ask(Get("/hello", "Origin: null\r\n")).status, 403);
  EXPECT_EQ(Ask(Get("/nowhere", "Origin: http://evil.example\r\n")).status, 403);
  EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
  for (const char* foreign :
       {"Host: evil.example\r\n", "Host: localhost\r\nOrigin: http://evil.example\r\n"}) {
    const Answer answer = Ask(fmt::format("GET /hello HTTP/1.1\r\n{}\r\n", foreign));
    EXPECT_THAT(answer.body, HasSubstr("\"code\":3001")) << foreign;
  }
  EXPECT_EQ(Ask(Get("/hello", "Origin: http://localhost\r\n")).status, 200);
}

TEST_F(HttpServer, AnswersThePreflightsOfAllowedOriginsOnly) {
  Site site = MakeSite();
  site.policy.cors_origins = {"http://app.example"};
  Start(std::move(site));
  const std::string preflight =
      "OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Method: POST\r\n"
      "Origin: ";
  const Answer allowed = Ask(preflight + "http://app.example\r\n\r\n");
  EXPECT_EQ(allowed.status, 204);
  EXPECT_TRUE(allowed.has("Access-Control-Allow-Origin: http://app.example\r\n"));
  EXPECT_TRUE(allowed.has("Access-Control-Allow-Methods: "));
  const Answer refused = Ask(preflight + "http://evil.example\r\n\r\n");
  EXPECT_EQ(refused.status, 403);
  EXPECT_FALSE(refused.has("Access-Control-Allow-Origin"));
}

TEST_F(HttpServer, ClosesAfterARefusalOfTheFraming) {
  Start();
  for (const char* lines :
       {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Length : 1\r\n", "X: a\n\r\n", " folded\r\n"}) {
    Client client(server_->port());
    const Answer answer =
        client.Ask(fmt::format("POST /echo HTTP/1.1\r\nHost: localhost\r\n{}\r\n", lines));
    EXPECT_THAT(answer.status, testing::AnyOf(400, 501)) << lines;
    EXPECT_TRUE(answer.has("Connection: close")) << lines;
    EXPECT_THAT(answer.body, HasSubstr("\"code\":2001")) << lines;
    client.CloseSending();
    EXPECT_TRUE(client.AtEnd()) << lines;
  }
}

TEST_F(HttpServer, ClosesPeersThatItDoesNotAdmitWithoutReading) {
  Start(MakeSite(), [](const Endpoint&, const Endpoint&) {
    return base::Status(base::Error(base::ErrorCode::kDenied, "no"));
  });
  EXPECT_EQ(Ask(Get("/hello")).status, 0);
  EXPECT_TRUE(server_->log().records().empty());
}

TEST_F(HttpServer, LogsWhoAskedForWhat) {
  Start();
  Client client(server_->port());
  client.Ask(Get("/hello?secret=1", "Authorization: Bearer secret\r\n"));
  client.Ask("nonsense\r\n\r\n");
  EXPECT_TRUE(client.AtEnd());
  server_->Drain(std::chrono::seconds(10));
  const auto records = server_->log().records();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].method, "GET");
  EXPECT_EQ(records[0].path, "/hello");
  EXPECT_EQ(records[0].status, 200);
  EXPECT_EQ(records[0].note, "hello");
  EXPECT_EQ(records[0].bytes_in, Get("/hello?secret=1", "Authorization: Bearer secret\r\n").size());
  EXPECT_EQ(records[0].key, "key-1");
  EXPECT_THAT(records[0].peer, HasSubstr("127.0.0.1:"));
  EXPECT_EQ(records[1].status, 400);
  EXPECT_EQ(records[1].path, "");
}

// --- handlers that take long, and clients that do not wait ---------------------------------------

struct Waiter {
  std::promise<void> begun;
  std::promise<bool> cancelled;
};

Async<void> WaitForCancel(std::shared_ptr<Waiter> waiter, Exchange& exchange) {
  Event cancelled(co_await boost::asio::this_coro::executor);
  const Cancellation::Watch watch(exchange.cancellation(), [&] { cancelled.Set(); });
  waiter->begun.set_value();
  waiter->cancelled.set_value(co_await cancelled.Wait(Clock::now() + std::chrono::minutes(1)));
  co_await exchange.Respond({.status = 503});
}

std::shared_ptr<Waiter> AddWaiter(Site& site) {
  auto waiter = std::make_shared<Waiter>();
  site.router.Add("POST", "/wait", RequestType::kAny,
                  [waiter](Exchange& exchange) { return WaitForCancel(waiter, exchange); });
  return waiter;
}

TEST_F(HttpServer, TellsAHandlerThatItsClientHasGone) {
  Site site = MakeSite();
  const auto waiter = AddWaiter(site);
  Start(std::move(site));
  {
    Client client(server_->port());
    client.Send("POST /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    waiter->begun.get_future().wait();
  }
  EXPECT_TRUE(waiter->cancelled.get_future().get());
}

TEST_F(HttpServer, WhatAClientSentAheadDoesNotHideThatItHasGone) {
  for (const std::string& ahead : {std::string("\r\n"), Get("/hello")}) {
    Site site = MakeSite();
    const auto waiter = AddWaiter(site);
    Start(std::move(site));
    {
      Client client(server_->port());
      client.Send("POST /wait HTTP/1.1\r\nHost: localhost\r\n\r\n" + ahead);
      waiter->begun.get_future().wait();
    }
    EXPECT_TRUE(waiter->cancelled.get_future().get());
  }
}

TEST_F(HttpServer, APipelinedRequestIsNoDeparture) {
  Site site = MakeSite();
  const auto waiter = AddWaiter(site);
  Start(std::move(site));
  Client client(server_->port());
  client.Send("POST /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
  waiter->begun.get_future().wait();
  client.Send(Get("/hello"));
  EXPECT_EQ(Ask(Get("/hello")).status, 200);  // by then the server has seen it
  auto cancelled = waiter->cancelled.get_future();
  EXPECT_EQ(cancelled.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  server_->Drain(std::chrono::seconds(0));
  EXPECT_TRUE(cancelled.get());
}

TEST_F(HttpServer, DrainsWhatRunsAndClosesWhatIsIdle) {
  Site site = MakeSite();
  const auto waiter = AddWaiter(site);
  Start(std::move(site));
  Client idle(server_->port());
  EXPECT_EQ(idle.Ask(Get("/hello")).status, 200);
  Client busy(server_->port());
  busy.Send("POST /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
  waiter->begun.get_future().wait();
  server_->Drain(std::chrono::milliseconds(10));
  EXPECT_TRUE(waiter->cancelled.get_future().get());
  EXPECT_EQ(busy.Receive().status, 503);
  EXPECT_TRUE(busy.AtEnd());
  EXPECT_TRUE(idle.AtEnd());
}

}  // namespace
}  // namespace msb::server::http
