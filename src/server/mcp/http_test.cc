#include "src/server/mcp/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/server/mcp/fixture/fixture.h"
#include "src/server/mcp/testing/fakes.h"

namespace msb::server::mcp {
namespace {

using testing::FakeExchange;
using ::testing::HasSubstr;

constexpr std::string_view kBoth = "application/json, text/event-stream";

base::Result<Caller> ByKey(const http::Request& request) {
  const std::string_view key = request.Header("authorization");
  if (key.empty()) return base::Error(base::ErrorCode::kDenied, "a key is needed");
  return Caller{.key_id = std::string(key)};
}

class HttpTest : public ::testing::Test {
 protected:
  explicit HttpTest(EndpointOptions options = {})
      : endpoint_(context_.get_executor(), MakeFixture(), ByKey, options) {}
  void TearDown() override {  // what still runs ends before what it uses
    endpoint_.Close();
    Settle();
  }

  void Settle() {
    context_.restart();
    context_.poll();
  }
  void WaitUntil(const std::function<bool()>& done) {
    context_.restart();
    while (!done()) ASSERT_EQ(context_.run_one(), 1u);
  }

  struct Options {
    std::string key = "k";
    std::string accept = std::string(kBoth);
    std::string content_type = "application/json";
    std::string version = "2025-11-25";
    std::string last_event_id = {};
  };
  std::shared_ptr<FakeExchange> Send(std::string method, std::string body, Options options) {
    http::Request request;
    request.method = std::move(method);
    request.path = "/mcp";
    const auto add = [&](std::string name, const std::string& value) {
      if (!value.empty()) request.headers.emplace_back(std::move(name), value);
    };
    add("authorization", options.key);
    add("accept", options.accept);
    add("content-type", options.content_type);
    add("mcp-protocol-version", options.version);
    add("mcp-session-id", session_);
    add("last-event-id", options.last_event_id);
    auto exchange = std::make_shared<FakeExchange>(std::move(request), std::move(body));
    boost::asio::co_spawn(context_, endpoint_.Handle(*exchange), boost::asio::detached);
    exchanges_.push_back(exchange);
    Settle();
    return exchange;
  }
  std::shared_ptr<FakeExchange> Send(std::string method, std::string body = "") {
    return Send(std::move(method), std::move(body), {});
  }
  static std::string Request(int id, std::string_view method, std::string_view params = "{}") {
    return fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":{}}})", id, method,
                       params);
  }
  static std::string CallOf(std::string_view tool) {
    return Request(7, "tools/call", fmt::format(R"({{"name":"{}"}})", tool));
  }
  std::shared_ptr<FakeExchange> Begin(const std::string& version = "2025-11-25",
                                      std::string key = "k") {
    session_.clear();
    auto exchange =
        Send("POST", Request(1, "initialize", R"({"protocolVersion":")" + version + R"("})"),
             {.key = std::move(key)});
    session_ = exchange->Header("mcp-session-id");
    return exchange;
  }

  boost::asio::io_context context_;
  Endpoint endpoint_;
  std::string session_;
  std::vector<std::shared_ptr<FakeExchange>> exchanges_;
};

TEST_F(HttpTest, InitializeGivesARandomSessionIdWhichDeleteEnds) {
  EXPECT_EQ(Begin()->status(), 200);
  EXPECT_EQ(session_.size(), 32u);
  const std::string first = session_;
  Begin();
  EXPECT_NE(session_, first);
  EXPECT_EQ(Send("POST", Request(2, "ping"))->status(), 200);
  EXPECT_EQ(Send("DELETE")->status(), 204);
  EXPECT_EQ(Send("POST", Request(3, "ping"))->status(), 404);
  EXPECT_EQ(Send("DELETE")->status(), 404);
  EXPECT_EQ(endpoint_.sessions(), 1u);
}

TEST_F(HttpTest, AFailedInitializeLeavesNoSession) {
  EXPECT_EQ(Send("POST", Request(1, "initialize"))->status(), 200);
  EXPECT_EQ(endpoint_.sessions(), 0u);
}

TEST_F(HttpTest, ASessionIsThereOnlyForTheKeyItWasBegunWith) {
  Begin();
  EXPECT_EQ(Send("POST", Request(2, "ping"), {.key = "other"})->status(), 404);
  EXPECT_EQ(Send("GET", "", {.key = "other"})->status(), 404);
  EXPECT_EQ(Send("DELETE", "", {.key = "other"})->status(), 404);
  const auto nobody = Send("POST", Request(2, "ping"), {.key = ""});
  EXPECT_EQ(nobody->status(), 401);
  EXPECT_THAT(nobody->Header("www-authenticate"), HasSubstr("Bearer"));
}

TEST_F(HttpTest, HeadersThatAreWrongAreRefused) {
  Begin();
  EXPECT_EQ(Send("POST", Request(2, "ping"), {.content_type = "text/plain"})->status(), 415);
  EXPECT_EQ(Send("POST", Request(2, "ping"), {.accept = "text/html"})->status(), 406);
  EXPECT_EQ(Send("POST", Request(2, "ping"), {.version = "2020-01-01"})->status(), 400);
  EXPECT_EQ(Send("GET", "", {.accept = "application/json"})->status(), 406);
  EXPECT_EQ(Send("PUT", "")->status(), 405);
  session_.clear();
  EXPECT_EQ(Send("POST", Request(2, "ping"))->status(), 400);
  EXPECT_EQ(Send("GET")->status(), 400);
}

TEST_F(HttpTest, BodiesThatAreNoMessagesAreRefused) {
  Begin();
  EXPECT_EQ(Send("POST", "{")->status(), 400);
  EXPECT_EQ(Send("POST", "{}")->status(), 400);
  EXPECT_THAT(Send("POST", "[]")->response().body, HasSubstr("-32600"));
  EXPECT_EQ(Send("POST", std::string(EndpointOptions().max_body_bytes + 1, ' '))->status(), 413);
}

TEST_F(HttpTest, NotificationsAndResponsesAreAcceptedWithoutAnAnswer) {
  Begin();
  const auto exchange = Send("POST", R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
  EXPECT_EQ(exchange->status(), 202);
  EXPECT_TRUE(exchange->response().body.empty());
}

TEST_F(HttpTest, BatchesBelongToOneVersion) {
  Begin("2025-03-26");
  const std::string batch = "[" + Request(1, "ping") + "," + Request(2, "ping") + ",7]";
  const auto exchange = Send("POST", batch, {.version = "2025-03-26"});
  EXPECT_EQ(exchange->status(), 200);
  EXPECT_EQ(base::json::ParseValue(exchange->response().body)->as_array().size(), 3u);
  Begin("2025-06-18");
  EXPECT_EQ(Send("POST", batch, {.version = "2025-06-18"})->status(), 400);
}

TEST_F(HttpTest, ACallIsAnsweredByAStreamThatBeginsWithAnEventToResumeFrom) {
  Begin();
  const auto exchange = Send("POST", CallOf("test_simple_text"));
  EXPECT_EQ(exchange->response().content_type, "text/event-stream");
  EXPECT_TRUE(exchange->finished());
  EXPECT_TRUE(exchange->sent().starts_with("id: 2-0\nretry: 1000\ndata: \n\n"));
  ASSERT_EQ(exchange->Events().size(), 1u);
  EXPECT_EQ(exchange->Events()[0].at("id"), Value(7));
}

TEST_F(HttpTest, OlderVersionsGetNoEmptyEvent) {
  Begin("2025-06-18");
  const auto exchange = Send("POST", CallOf("test_simple_text"), {.version = "2025-06-18"});
  EXPECT_TRUE(exchange->sent().starts_with("id: 2-1\ndata: {"));
}

TEST_F(HttpTest, AClientThatTakesOnlyJsonGetsIt) {
  Begin();
  const auto exchange =
      Send("POST", CallOf("test_tool_with_progress"), {.accept = "application/json"});
  WaitUntil([&] { return exchange->finished(); });
  EXPECT_EQ(exchange->response().content_type, "application/json");
  EXPECT_THAT(exchange->response().body, HasSubstr("Done"));
}

TEST_F(HttpTest, ACancelledCallEndsItsStream) {
  Begin();
  const auto exchange = Send("POST", CallOf("test_until_cancelled"));
  EXPECT_FALSE(exchange->finished());
  Send("POST", R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}})");
  EXPECT_TRUE(exchange->finished());
  EXPECT_TRUE(exchange->Events().empty());
}

TEST_F(HttpTest, AClientThatLostItsConnectionGetsTheRest) {
  Begin();
  const auto first = Send("POST", CallOf("test_tool_with_logging"));
  ASSERT_EQ(first->Events().size(), 1u);
  first->Break();
  Settle();
  const auto second = Send("GET", "", {.last_event_id = first->LastEventId()});
  WaitUntil([&] { return second->finished(); });
  const auto events = second->Events();
  ASSERT_EQ(events.size(), 3u);  // two log messages and the answer
  EXPECT_EQ(events.back().at("id"), Value(7));
  // And once more, since the stream is kept for a while.
  const auto third = Send("GET", "", {.last_event_id = second->LastEventId()});
  EXPECT_TRUE(third->finished());
  EXPECT_TRUE(third->Events().empty());
}

TEST_F(HttpTest, AServerThatClosesAStreamEarlyGoesOnWhenTheClientIsBack) {
  Begin();
  const auto first = Send("POST", CallOf("test_reconnection"));
  EXPECT_TRUE(first->finished());
  const auto second = Send("GET", "", {.last_event_id = first->LastEventId()});
  EXPECT_FALSE(second->finished());
  WaitUntil([&] { return second->finished(); });
  EXPECT_EQ(second->Events().back().at("id"), Value(7));
}

TEST_F(HttpTest, AnEventThatIsKeptNoMoreIsRefused) {
  Begin();
  for (const std::string& id : {"99-0", "x", "1-", "-1", "99999999999999999999-1"}) {
    EXPECT_EQ(Send("GET", "", {.last_event_id = id})->status(), 400) << id;
  }
}

TEST_F(HttpTest, ANewListenerTakesOverFromTheOneBefore) {
  Begin();
  const auto first = Send("GET");
  EXPECT_EQ(first->status(), 200);
  EXPECT_FALSE(first->finished());
  const auto second = Send("GET");
  EXPECT_TRUE(first->finished());
  EXPECT_FALSE(second->finished());
  Send("DELETE");
  EXPECT_TRUE(second->finished());
}

TEST_F(HttpTest, TheServersEndEndsStreamsAndCalls) {
  Begin();
  const auto listener = Send("GET");
  const auto call = Send("POST", CallOf("test_until_cancelled"));
  endpoint_.Close();
  Settle();
  EXPECT_TRUE(listener->finished());
  EXPECT_TRUE(call->finished());
  EXPECT_EQ(endpoint_.sessions(), 0u);
}

TEST_F(HttpTest, AQuestionToTheClientTravelsInTheStreamOfItsCall) {
  session_.clear();
  const auto begun = Send("POST", Request(1, "initialize", R"({"protocolVersion":"2025-11-25",
                                           "capabilities":{"sampling":{}}})"));
  session_ = begun->Header("mcp-session-id");
  const auto call = Send("POST", CallOf("test_sampling"));
  ASSERT_EQ(call->Events().size(), 1u);
  const Value id = call->Events()[0].at("id");
  EXPECT_EQ(Send("POST", WriteResult(id, Object{{"model", "m"}}))->status(), 202);
  EXPECT_TRUE(call->finished());
  EXPECT_EQ(call->Events().back().at("id"), Value(7));
}

class FewSessionsTest : public HttpTest {
 protected:
  FewSessionsTest() : HttpTest({.max_sessions = 3, .max_sessions_of_key = 2}) {}
};

TEST_F(FewSessionsTest, TheLongestIdleOneOfTheKeyMakesRoom) {
  Begin();
  const std::string first = session_;
  Begin();
  const std::string second = session_;
  session_ = first;
  Send("POST", Request(2, "ping"));  // now the second is idle for longer
  Begin();
  session_ = second;
  EXPECT_EQ(Send("POST", Request(2, "ping"))->status(), 404);
  session_ = first;
  EXPECT_EQ(Send("POST", Request(2, "ping"))->status(), 200);
}

TEST_F(FewSessionsTest, NoKeyTakesTheSessionsOfAnother) {
  Begin("2025-11-25", "a");
  Begin("2025-11-25", "a");
  Begin("2025-11-25", "b");
  EXPECT_EQ(Begin("2025-11-25", "c")->status(), 503);
  EXPECT_EQ(endpoint_.sessions(), 3u);
}

TEST_F(FewSessionsTest, SessionsInUseAreNotEnded) {
  Begin();
  Send("GET");
  Begin();
  Send("GET");
  EXPECT_EQ(Begin()->status(), 503);
}

class ImpatientTest : public HttpTest {
 protected:
  ImpatientTest()
      : HttpTest({.idle = std::chrono::milliseconds(50),
                  .orphan = std::chrono::milliseconds(10),
                  .keep_alive = std::chrono::milliseconds(5)}) {}
};

TEST_F(ImpatientTest, AnIdleSessionEnds) {
  Begin();
  WaitUntil([&] { return endpoint_.sessions() == 0; });
}

TEST_F(ImpatientTest, ASessionThatSomebodyListensToIsNotIdle) {
  Begin();
  const auto listener = Send("GET");
  WaitUntil([&] { return listener->sent().size() > 100; });  // of keep-alive comments
  EXPECT_EQ(endpoint_.sessions(), 1u);
  listener->Break();
  WaitUntil([&] { return endpoint_.sessions() == 0; });
}

TEST_F(ImpatientTest, ACallWhoseClientDoesNotComeBackIsCancelled) {
  Begin();
  const auto call = Send("POST", CallOf("test_until_cancelled"));
  const auto listener = Send("GET");  // the session itself goes on
  call->Break();
  Settle();
  WaitUntil([&] {
    const auto again = Send("POST", CallOf("test_simple_text"));
    return again->Events().size() == 1 &&
           !again->Events()[0].as_object().contains("error");  // its id is free again
  });
}

}  // namespace
}  // namespace msb::server::mcp
