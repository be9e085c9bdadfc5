// How much, how long and how slowly: what one client may cost the server.
#include "src/server/http/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <atomic>

#include "src/server/http/memory_budget.h"
#include "src/server/http/testing_site.h"

namespace msb::server::http {
namespace {

using testing::HasSubstr;

constexpr size_t kPieces = 256;
constexpr size_t kPiece = 256 << 10;

Async<void> StreamMuch(std::shared_ptr<std::atomic<size_t>> written, Exchange& exchange) {
  exchange.NoteKey("key-1");
  (void)co_await exchange.BeginStream(200, "application/octet-stream", {}, kPieces * kPiece);
  for (size_t i = 0; i < kPieces; ++i) {
    if (!co_await exchange.Write(std::string(kPiece, 'x'))) co_return;
    ++*written;
  }
  (void)co_await exchange.EndStream();
}

// GET /much streams kPieces; how many were written is in the result.
std::shared_ptr<std::atomic<size_t>> AddMuch(Site& site) {
  auto written = std::make_shared<std::atomic<size_t>>(0);
  site.router.Add("GET", "/much", RequestType::kAny,
                  [written](Exchange& exchange) { return StreamMuch(written, exchange); });
  return written;
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
  ASSERT_GE(files.rlim_cur, 3000u) << "raise the hard limit of open files (ulimit -Hn)";
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
  const auto written = AddMuch(site);
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

// --- slow readers --------------------------------------------------------------------------------

TEST_F(HttpServer, ASlowReaderSlowsOnlyItself) {
  Site site = MakeSite();
  const auto written = AddMuch(site);
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
  const auto written = AddMuch(site);
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

}  // namespace
}  // namespace msb::server::http
