// The whole HTTP layer, from outside, over real sockets.
#include "src/server/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "src/server/http/testing.h"

namespace msb::server::http {
namespace {

using testing::HasSubstr;

Async<void> SayHello(Exchange& exchange) {
  exchange.Note("hello");
  exchange.NoteKey("key-1");
  co_await exchange.Respond({.content_type = "text/plain", .body = "hello"});
}

Async<void> Echo(Exchange& exchange) {
  auto body = co_await exchange.ReadBody(1 << 20);
  if (!body) co_return co_await exchange.Respond(BodyErrorResponse(body.error()));
  co_await exchange.Respond({.body = *std::move(body)});
}

Async<void> IgnoreBody(Exchange& exchange) { co_await exchange.Respond({.body = "ignored"}); }

Async<void> StreamThree(Exchange& exchange) {
  (void)co_await exchange.BeginStream(200, "text/event-stream", {}, std::nullopt);
  for (const char* piece : {"one", "", "three"}) (void)co_await exchange.Write(piece);
  (void)co_await exchange.EndStream();
}

Async<void> AnswerNothing(Exchange&) { co_return; }

Async<void> EchoMessages(Exchange& exchange) {
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

constexpr size_t kPieces = 256;
constexpr size_t kPiece = 256 << 10;

Async<void> StreamMuch(std::shared_ptr<std::atomic<size_t>> written, Exchange& exchange) {
  (void)co_await exchange.BeginStream(200, "application/octet-stream", {}, kPieces * kPiece);
  for (size_t i = 0; i < kPieces; ++i) {
    if (!co_await exchange.Write(std::string(kPiece, 'x'))) co_return;
    ++*written;
  }
  (void)co_await exchange.EndStream();
}

Site MakeSite() {
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

TEST_F(HttpServer, EndsAHeaderThatDoesNotCome) {
  Site site = MakeSite();
  site.limits.head_s = 1;
  Start(std::move(site));
  Client slow(server_->port());
  EXPECT_EQ(slow.Ask("GET /hello HT").status, 408);
  EXPECT_TRUE(slow.AtEnd());
}

TEST_F(HttpServer, EndsABodyThatDoesNotCome) {
  Site site = MakeSite();
  site.limits.progress_s = 1;
  Start(std::move(site));
  Client slow(server_->port());
  EXPECT_EQ(slow.Ask("PUT /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc").status,
            408);
  EXPECT_TRUE(slow.AtEnd());
}

// Sends a byte now and then, and more often than the server asks for, until there is an answer.
Answer Trickle(Client& client) {
  pollfd readable = {.fd = client.fd(), .events = POLLIN, .revents = 0};
  while (::poll(&readable, 1, 20) == 0) client.Send("x");
  return client.Receive();
}

TEST_F(HttpServer, EndsABodyThatComesTooSlowly) {
  Site site = MakeSite();
  site.limits.progress_s = 1;
  site.limits.min_bytes_s = 1 << 20;
  Start(std::move(site));
  Client slow(server_->port());
  slow.Send("PUT /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n");
  EXPECT_EQ(Trickle(slow).status, 408);
}

TEST_F(HttpServer, ClosesIdleConnectionsSilently) {
  Site site = MakeSite();
  site.limits.idle_s = 1;
  Start(std::move(site));
  Client idle(server_->port());
  EXPECT_EQ(idle.Ask(Get("/hello")).status, 200);
  EXPECT_EQ(idle.Receive().status, 0);
}

TEST_F(HttpServer, ServesBesideAThousandIdleConnections) {
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 3000) GTEST_SKIP() << "too few descriptors";
  Start();
  std::vector<Client> idle;
  for (int i = 0; i < 1000; ++i) {
    idle.emplace_back(server_->port());
    if (i % 2 == 0) idle.back().Send("GET /hel");
  }
  EXPECT_EQ(Ask(Get("/hello")).status, 200);
  for (size_t i = 0; i < idle.size(); ++i) {
    if (i % 2 == 0) idle[i].Send("lo HTTP/1.1\r\nHost: localhost\r\n\r\n");
    if (i % 2 != 0) idle[i].Send(Get("/hello"));
  }
  for (Client& client : idle) EXPECT_EQ(client.Receive().status, 200);
}

TEST_F(HttpServer, RefusesConnectionsBeyondItsLimit) {
  Site site = MakeSite();
  site.limits.connections = 1;
  auto written = std::make_shared<std::atomic<size_t>>(0);
  site.router.Add("GET", "/much", RequestType::kAny, [written](Exchange& exchange) {
    exchange.NoteKey("key-1");
    return StreamMuch(written, exchange);
  });
  Start(std::move(site));
  Client busy(server_->port());
  busy.Send(Get("/much"));
  EXPECT_FALSE(busy.Take(100).empty());
  EXPECT_EQ(Client(server_->port()).Receive().status, 503);
  while (*written < kPieces) ASSERT_FALSE(busy.Take(kPiece).empty());
}

TEST_F(HttpServer, WhoHasWaitedLongestMakesRoom) {
  Site site = MakeSite();
  site.limits.connections = 2;
  Start(std::move(site));
  Client first(server_->port());
  Client second(server_->port());
  EXPECT_EQ(first.Ask(Get("/hello")).status, 200);
  EXPECT_EQ(second.Ask(Get("/hello")).status, 200);
  EXPECT_EQ(first.Ask(Get("/hello")).status, 200);
  EXPECT_EQ(Ask(Get("/hello")).status, 200);
  EXPECT_TRUE(second.AtEnd());
  EXPECT_EQ(first.Ask(Get("/hello")).status, 200);
}

TEST_F(HttpServer, TheOldestOfThoseWithoutAKeyMakesRoom) {
  Site site = MakeSite();
  site.limits.connections = 3;
  Start(std::move(site));
  Client known(server_->port());
  EXPECT_EQ(known.Ask(Get("/hello")).status, 200);
  Client oldest(server_->port());
  EXPECT_EQ(oldest.Ask(Get("/stream")).status, 200);
  Client stranger(server_->port());
  EXPECT_EQ(stranger.Ask(Get("/stream")).status, 200);
  Client last(server_->port());
  EXPECT_EQ(last.Ask(Get("/hello")).status, 200);
  EXPECT_TRUE(oldest.AtEnd());
  EXPECT_EQ(stranger.Ask(Get("/stream")).status, 200);
  EXPECT_EQ(known.Ask(Get("/hello")).status, 200);
}

// --- what the server holds -----------------------------------------------------------------------

constexpr MemoryBudget::Limits kSmallBudget = {.bytes = 1 << 20, .bytes_of_key = 150'000};

TEST(MemoryBudget, CountsForEachKeyAndForAll) {
  MemoryBudget budget({.bytes = 100, .bytes_of_key = 60});
  {
    MemoryBudget::Hold one(budget, "one");
    EXPECT_TRUE(one.Take(40));
    MemoryBudget::Hold more(budget, "one");
    EXPECT_FALSE(more.Take(21));
    EXPECT_TRUE(more.Take(20));
    MemoryBudget::Hold two(budget, "two");
    EXPECT_FALSE(two.Take(41));
    EXPECT_TRUE(two.Take(40));
    EXPECT_EQ(two.Take(1).error().code(), base::ErrorCode::kBusy);
    MemoryBudget::Hold moved = std::move(one);
    moved.Release();
    EXPECT_EQ(budget.held(), 60u);
    EXPECT_TRUE(two.Take(20));
  }
  EXPECT_EQ(budget.held(), 0u);
}

TEST_F(HttpServer, TakesNoBodyThatItCannotHold) {
  Start(MakeSite(), {}, kSmallBudget);
  Client client(server_->port());
  const Answer refused = client.Ask(Post("/echo", std::string(200'000, 'x')));
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("holds too much for this key"));
  EXPECT_TRUE(refused.has("Retry-After: 1"));
  EXPECT_EQ(Ask(Post("/echo", std::string(100, 'x'))).status, 200);
  server_->Drain(std::chrono::milliseconds(0));
  EXPECT_EQ(server_->budget().held(), 0u);
}

TEST_F(HttpServer, GivesNoAnswerThatItCannotHold) {
  Site site = MakeSite();
  site.router.Add("GET", "/long", RequestType::kAny, [](Exchange& exchange) {
    return exchange.Respond({.body = std::string(200'000, 'x')});
  });
  Start(std::move(site), {}, kSmallBudget);
  Client client(server_->port());
  const Answer refused = client.Ask(Get("/long"));
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("its answer of 200000 bytes cannot be given"));
  EXPECT_EQ(client.Ask(Get("/hello")).status, 200);
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

TEST_F(HttpServer, ASlowReaderSlowsOnlyItself) {
  Site site = MakeSite();
  auto written = std::make_shared<std::atomic<size_t>>(0);
  site.router.Add("GET", "/much", RequestType::kAny,
                  [written](Exchange& exchange) { return StreamMuch(written, exchange); });
  Start(std::move(site));
  Client slow(server_->port());
  slow.Send(Get("/much"));
  EXPECT_FALSE(slow.Take(100).empty());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Ask(Get("/hello")).status, 200);
  EXPECT_LT(*written, kPieces / 2);  // the rest waits for room in the socket
  while (*written < kPieces) ASSERT_FALSE(slow.Take(kPiece).empty());
}

TEST_F(HttpServer, DropsAReaderThatTakesNothing) {
  Site site = MakeSite();
  site.limits.progress_s = 1;
  auto written = std::make_shared<std::atomic<size_t>>(0);
  site.router.Add("GET", "/much", RequestType::kAny,
                  [written](Exchange& exchange) { return StreamMuch(written, exchange); });
  Start(std::move(site));
  Client slow(server_->port());
  slow.Send(Get("/much"));
  EXPECT_FALSE(slow.Take(100).empty());
  while (true) {  // until the server has given up: waiting for that needs no reading
    size_t open = 0;
    server_->OnServer([&](Server& server) { open = server.site().counters->connections_open; });
    if (open == 0) break;
    Client(server_->port()).Ask(Get("/hello", "Connection: close\r\n"));
  }
  EXPECT_LT(*written, kPieces);
}

TEST_F(HttpServer, DropsAReaderThatTakesAlmostNothing) {
  Site site = MakeSite();
  site.limits.progress_s = 1;
  site.limits.min_bytes_s = 1 << 30;
  site.router.Add("GET", "/long", RequestType::kAny, [](Exchange& exchange) {
    return exchange.Respond({.body = std::string(64 << 20, 'x')});
  });
  Start(std::move(site));
  Client slow(server_->port());
  slow.Send(Get("/long"));
  size_t taken = 0;
  std::array<char, 512> some;
  for (ssize_t size = 1; size > 0; taken += size) {
    pollfd nothing = {.fd = -1, .events = 0, .revents = 0};
    if (taken < (2 << 20)) ::poll(&nothing, 1, 1);  // about half a MiB a second, until it gave up
    size = std::max<ssize_t>(0, ::recv(slow.fd(), some.data(), some.size(), 0));
  }
  EXPECT_LT(taken, 64u << 20);
}

// --- WebSockets ----------------------------------------------------------------------------------

constexpr const char* kHandshake =
    "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

// A masked frame, with a mask of zeros.
std::string Frame(uint8_t opcode, std::string_view text) {
  std::string frame = {static_cast<char>(0x80 | opcode)};
  if (text.size() < 126) {
    frame += static_cast<char>(0x80 | text.size());
  } else {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(text.size() >> 8);
    frame += static_cast<char>(text.size());
  }
  return frame + std::string(4, '\0') + std::string(text);
}

TEST_F(HttpServer, EchoesWebSocketMessages) {
  Start();
  Client client(server_->port());
  const Answer answer = client.Ask(std::string(kHandshake) + "\r\n");
  EXPECT_EQ(answer.status, 101);
  EXPECT_TRUE(answer.has("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  client.Send(Frame(1, "hello"));
  EXPECT_EQ(client.Take(7), "\x81\x05hello");
  client.Send(Frame(9, "p"));  // a ping
  EXPECT_EQ(client.Take(3), "\x8a\x01p");
  client.Send(Frame(1, std::string(1001, 'x')));
  EXPECT_EQ(client.Take(4), "\x88\x02\x03\xf1");  // 1009: too big
}

TEST_F(HttpServer, TakesNoWebSocketMessageThatItCannotHold) {
  Start(MakeSite(), {}, {.bytes = 1000, .bytes_of_key = 900});
  Client client(server_->port());
  EXPECT_EQ(client.Ask(std::string(kHandshake) + "\r\n").status, 101);
  client.Send(Frame(1, std::string(100, 'x')));
  EXPECT_EQ(client.Take(102).size(), 102u);
  client.Send(Frame(1, std::string(950, 'x')));
  EXPECT_EQ(client.Take(4), "\x88\x0a\x03\xf5");  // 1013: try again later
}

TEST_F(HttpServer, EndsAWebSocketMessageThatDoesNotCome) {
  Site site = MakeSite();
  site.limits.progress_s = 1;
  Start(std::move(site));
  Client client(server_->port());
  EXPECT_EQ(client.Ask(std::string(kHandshake) + "\r\n").status, 101);
  client.Send(Frame(1, std::string(100, 'x')).substr(0, 50));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServer, RefusesWebSocketsOfForeignPages) {
  Start();
  EXPECT_EQ(Ask(std::string(kHandshake) + "Origin: http://evil.example\r\n\r\n").status, 403);
}

TEST_F(HttpServer, SaysWhatAWebSocketHandshakeLacks) {
  Start();
  const Answer answer = Ask(Get("/socket"));
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("Upgrade"));
}

}  // namespace
}  // namespace msb::server::http
