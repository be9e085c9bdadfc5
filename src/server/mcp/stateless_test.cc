// The stateless protocol (2026-07-28), over HTTP and in a session.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/server/mcp/fixture/fixture.h"
#include "src/server/mcp/http.h"
#include "src/server/mcp/testing/fakes.h"

namespace msb::server::mcp {
namespace {

using testing::FakeExchange;
using ::testing::HasSubstr;
using testing::KeepingOutlet;
using ::testing::Not;

constexpr std::string_view kMeta =
    R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
    R"("io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"progressToken":1)";

std::string Request(std::string_view method, std::string_view params = "",
                    std::string_view meta = "") {
  return fmt::format(R"({{"jsonrpc":"2.0","id":7,"method":"{}","params":{{{}{}{}}}}}}})", method,
                     params, kMeta, meta);
}
std::string CallOf(std::string_view tool, std::string_view meta = "") {
  return Request("tools/call", fmt::format(R"("name":"{}",)", tool), meta);
}

class StatelessTest : public ::testing::Test {
 protected:
  StatelessTest()
      : endpoint_(
            context_.get_executor(), MakeFixture(),
            [](const http::Request&) -> base::Result<Caller> { return Caller{.key_id = "k"}; }) {}
  void TearDown() override {
    for (const auto& exchange : exchanges_) exchange->Break();
    Run();
  }
  void Run() {
    context_.restart();
    context_.run();
  }
  std::shared_ptr<FakeExchange> Send(std::string body, std::string method, std::string name = "",
                                     std::string verb = "POST") {
    http::Request request;
    request.method = std::move(verb);
    request.path = "/mcp";
    request.headers = {{"accept", "application/json, text/event-stream"},
                       {"content-type", "application/json"},
                       {"mcp-protocol-version", "2026-07-28"},
                       {"mcp-method", std::move(method)},
                       {"mcp-name", std::move(name)}};
    auto exchange = std::make_shared<FakeExchange>(std::move(request), std::move(body));
    boost::asio::co_spawn(context_, endpoint_.Handle(*exchange), boost::asio::detached);
    exchanges_.push_back(exchange);
    context_.restart();
    context_.poll();
    return exchange;
  }

  boost::asio::io_context context_;
  Endpoint endpoint_;
  std::vector<std::shared_ptr<FakeExchange>> exchanges_;
};

TEST_F(StatelessTest, DiscoverNamesTheVersionsAndWhoAnswers) {
  const auto exchange = Send(Request("server/discover"), "server/discover");
  EXPECT_EQ(exchange->status(), 200);
  EXPECT_EQ(exchange->Header("mcp-session-id"), "");
  const Value result = base::json::ParseValue(exchange->sent())->at("result");
  EXPECT_EQ(result.at("supportedVersions").at(0), Value("2026-07-28"));
  EXPECT_EQ(result.at("resultType"), Value("complete"));
  EXPECT_EQ(result.at("cacheScope"), Value("private"));
  EXPECT_EQ(result.at("_meta").at("io.modelcontextprotocol/serverInfo").at("name"),
            Value("microsandbox-fixture"));
  EXPECT_EQ(endpoint_.sessions(), 0u);
}

TEST_F(StatelessTest, EachRequestStandsForItself) {
  EXPECT_THAT(Send(Request("tools/list"), "tools/list")->sent(), HasSubstr("test_simple_text"));
  const auto call =
      Send(CallOf("test_tool_with_progress"), "tools/call", "test_tool_with_progress");
  Run();
  ASSERT_EQ(call->Events().size(), 4u);
  EXPECT_EQ(call->Events()[3].at("result").at("resultType"), Value("complete"));
  EXPECT_THAT(call->sent(), Not(HasSubstr("id: ")));  // nobody can come back for it
}

TEST_F(StatelessTest, ErrorsHaveTheirStatus) {
  EXPECT_EQ(Send(Request("ping"), "ping")->status(), 404);
  EXPECT_EQ(Send(Request("initialize"), "initialize")->status(), 404);
  EXPECT_EQ(Send(CallOf("none"), "tools/call", "none")->status(), 400);
  EXPECT_EQ(Send("[" + Request("tools/list") + "]", "tools/list")->status(), 400);
  EXPECT_EQ(Send("", "", "", "GET")->status(), 405);
  EXPECT_EQ(Send("", "", "", "DELETE")->status(), 405);
}

TEST_F(StatelessTest, HeadersThatContradictTheRequestAreRefused) {
  EXPECT_THAT(Send(Request("tools/list"), "prompts/list")->sent(), HasSubstr("-32020"));
  EXPECT_THAT(Send(CallOf("test_simple_text"), "tools/call", "other")->sent(), HasSubstr("-32020"));
  EXPECT_THAT(Send(CallOf("test_simple_text"), "tools/call", "=?base64?!?=")->sent(),
              HasSubstr("-32020"));
  const std::string encoded = "=?base64?" + base::Base64Encode("none") + "?=";
  EXPECT_THAT(Send(CallOf("none"), "tools/call", encoded)->sent(), HasSubstr("unknown tool"));
}

TEST_F(StatelessTest, AnEnvelopeThatIsIncompleteOrOfAnotherVersionIsRefused) {
  EXPECT_THAT(Send(R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})", "tools/list")->sent(),
              HasSubstr("-32602"));
  EXPECT_THAT(Send(R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":
           {"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}})",
                   "tools/list")
                  ->sent(),
              HasSubstr("clientCapabilities"));
  const auto other = Send(R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":
      {"io.modelcontextprotocol/protocolVersion":"2030-01-01"}}})",
                          "tools/list");
  EXPECT_EQ(other->status(), 400);
  EXPECT_THAT(other->sent(), HasSubstr(R"("requested":"2030-01-01")"));
}

TEST_F(StatelessTest, ClosingTheStreamCancelsTheCall) {
  const auto call = Send(CallOf("test_until_cancelled"), "tools/call", "test_until_cancelled");
  EXPECT_EQ(call->Events().size(), 1u);
  call->Break();
  Run();  // which would not return if the call ran on
}

TEST_F(StatelessTest, LogMessagesAreSentToThoseWhoAskForThemInTheRequest) {
  const auto quiet = Send(CallOf("test_tool_with_logging"), "tools/call", "test_tool_with_logging");
  const auto loud =
      Send(CallOf("test_tool_with_logging", R"(,"io.modelcontextprotocol/logLevel":"info")"),
           "tools/call", "test_tool_with_logging");
  Run();
  EXPECT_EQ(quiet->Events().size(), 1u);
  EXPECT_EQ(loud->Events().size(), 4u);
}

TEST_F(StatelessTest, TheServerAsksNothing) {
  const auto call = Send(CallOf("test_sampling"), "tools/call", "test_sampling");
  Run();
  EXPECT_THAT(call->sent(), HasSubstr("does not offer sampling"));
}

TEST_F(StatelessTest, OnOneConnectionASessionAndSingleRequestsAreNotMixed) {
  const auto outlet = std::make_shared<KeepingOutlet>();
  const auto session = std::make_shared<Session>(context_.get_executor(), MakeFixture(), outlet);
  const auto ask = [&](std::string_view text) {
    session->Receive(*ReadIncoming(text)->messages.front(), {.key_id = "k"}, outlet);
    return outlet->answers.back().as_object();
  };
  EXPECT_TRUE(ask(Request("server/discover")).contains("result"));
  EXPECT_TRUE(ask(R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})").contains("error"));
  EXPECT_TRUE(ask(R"({"jsonrpc":"2.0","id":1,"method":"initialize",
                      "params":{"protocolVersion":"2026-07-28"}})")
                  .contains("result"));  // a client that would rather have a session
  EXPECT_EQ(outlet->answers.back().at("result").at("protocolVersion"), Value("2025-11-25"));
  EXPECT_TRUE(ask(Request("tools/list")).contains("error"));
}

}  // namespace
}  // namespace msb::server::mcp
