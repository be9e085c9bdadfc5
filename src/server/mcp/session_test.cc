#include "src/server/mcp/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/server/mcp/fixture/fixture.h"
#include "src/server/mcp/testing/fakes.h"

namespace msb::server::mcp {
namespace {

using ::testing::HasSubstr;
using testing::KeepingOutlet;

class SessionTest : public ::testing::Test {
 protected:
  // Runs what is ready, and all that comes of it.
  void Settle() {
    context_.restart();
    context_.poll();
  }
  void Wait() {  // until nothing is left to do
    context_.restart();
    context_.run();
  }
  void Tell(std::string_view text) {
    auto incoming = ReadIncoming(text);
    ASSERT_TRUE(incoming && incoming->messages.front()) << text;
    session_->Receive(*std::move(incoming->messages.front()), caller_, outlet_);
  }
  const Value& Ask(std::string_view method, std::string_view params = "{}") {
    Tell(fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":{}}})", ++id_, method,
                     params));
    Settle();
    return outlet_->answers.back();
  }
  void Begin(std::string_view version = "2025-11-25", std::string_view capabilities = "{}") {
    begun_ = Ask("initialize", fmt::format(R"({{"protocolVersion":"{}","capabilities":{}}})",
                                           version, capabilities));
  }
  static int64_t CodeOf(const Value& answer) { return answer.at("error").at("code").as_int64(); }

  boost::asio::io_context context_;
  Caller caller_ = {.key_id = "k"};
  std::shared_ptr<KeepingOutlet> own_ = std::make_shared<KeepingOutlet>();
  std::shared_ptr<KeepingOutlet> outlet_ = std::make_shared<KeepingOutlet>();
  std::shared_ptr<Session> session_ =
      std::make_shared<Session>(context_.get_executor(), MakeFixture(), own_);
  Value begun_;
  int id_ = 0;
};

TEST_F(SessionTest, EachVersionThatIsSpokenIsAgreedToAndAnyOtherGetsTheNewest) {
  for (const std::string_view version : kVersionNames) {
    if (version > NameOf(kNewestWithSessions)) continue;
    session_ = std::make_shared<Session>(context_.get_executor(), MakeFixture(), own_);
    Begin(version);
    EXPECT_EQ(begun_.at("result").at("protocolVersion").as_string(), version);
  }
  session_ = std::make_shared<Session>(context_.get_executor(), MakeFixture(), own_);
  Begin("1999-01-01");
  EXPECT_EQ(begun_.at("result").at("protocolVersion").as_string(), NameOf(kNewestWithSessions));
}

TEST_F(SessionTest, NothingButPingIsAnsweredBeforeInitialize) {
  EXPECT_EQ(Ask("ping").at("result"), Value(Object{}));
  EXPECT_EQ(CodeOf(Ask("tools/list")), kInvalidRequest);
  EXPECT_EQ(CodeOf(Ask("initialize")), kInvalidParams);
  Begin();
  EXPECT_TRUE(Ask("tools/list").as_object().contains("result"));
  EXPECT_EQ(CodeOf(Ask("initialize", R"({"protocolVersion":"2025-11-25"})")), kInvalidRequest);
}

TEST_F(SessionTest, UnknownMethodsToolsPromptsAndResourcesAreErrorsOfTheProtocol) {
  Begin();
  EXPECT_EQ(CodeOf(Ask("tools/destroy")), kMethodNotFound);
  EXPECT_EQ(CodeOf(Ask("tools/call", R"({"name":"none"})")), kInvalidParams);
  EXPECT_EQ(CodeOf(Ask("tools/call", R"({"name":7})")), kInvalidParams);
  EXPECT_EQ(CodeOf(Ask("prompts/get", R"({"name":"none"})")), kInvalidParams);
  EXPECT_EQ(CodeOf(Ask("prompts/get", R"({"name":"test_prompt_with_arguments"})")), kInvalidParams);
  EXPECT_EQ(CodeOf(Ask("resources/read", R"({"uri":"test://none"})")), kResourceNotFound);
  EXPECT_EQ(CodeOf(Ask("tools/list", R"({"cursor":"x"})")), kInvalidParams);
  EXPECT_EQ(CodeOf(Ask("logging/setLevel", R"({"level":"loud"})")), kInvalidParams);
  EXPECT_EQ(CodeOf(Ask("completion/complete")), kInvalidParams);
}

TEST_F(SessionTest, WhatIsNotOfferedIsNeitherAnnouncedNorAnswered) {
  session_ = std::make_shared<Session>(context_.get_executor(), std::make_shared<Features>(), own_);
  Begin();
  EXPECT_EQ(begun_.at("result").at("capabilities"), Value(Object{}));
  for (const std::string_view method :
       {"tools/list", "tools/call", "prompts/list", "prompts/get", "resources/list",
        "resources/templates/list", "resources/read", "resources/subscribe",
        "resources/unsubscribe", "logging/setLevel", "completion/complete"}) {
    EXPECT_EQ(CodeOf(Ask(method)), kMethodNotFound) << method;
  }
}

TEST_F(SessionTest, ArgumentsThatAreNoObjectAreAResultThatTheModelSees) {
  Begin();
  const Value& answer = Ask("tools/call", R"({"name":"test_simple_text","arguments":[1]})");
  EXPECT_EQ(answer.at("result").at("isError"), Value(true));
}

TEST_F(SessionTest, TitlesAnnotationsAndMessagesOfProgressComeWithTheirVersions) {
  Begin("2024-11-05");
  const Object oldest = Ask("tools/list").at("result").at("tools").at(0).as_object();
  EXPECT_FALSE(oldest.contains("annotations") || oldest.contains("title"));
  Tell(R"({"jsonrpc":"2.0","id":"p","method":"tools/call",
           "params":{"name":"test_tool_with_progress","_meta":{"progressToken":"t"}}})");
  Wait();
  ASSERT_EQ(outlet_->sent.size(), 3u);
  const Object& params = outlet_->sent[1].at("params").as_object();
  EXPECT_EQ(params.at("progressToken"), Value("t"));
  EXPECT_EQ(params.at("progress"), Value(50.0));
  EXPECT_FALSE(params.contains("message"));

  session_ = std::make_shared<Session>(context_.get_executor(), MakeFixture(), own_);
  Begin("2025-06-18");
  const Object newer = Ask("tools/list").at("result").at("tools").at(0).as_object();
  EXPECT_TRUE(newer.contains("annotations") && newer.contains("title"));
}

TEST_F(SessionTest, ProgressIsSentOnlyToThoseWhoAskForIt) {
  Begin();
  Tell(R"({"jsonrpc":"2.0","id":9,"method":"tools/call",
           "params":{"name":"test_tool_with_progress"}})");
  Wait();
  EXPECT_TRUE(outlet_->sent.empty());
  EXPECT_EQ(outlet_->answers.back().at("id"), Value(9));
}

TEST_F(SessionTest, ACancelledCallEndsWithoutAnAnswer) {
  Begin();
  Tell(R"({"jsonrpc":"2.0","id":"long","method":"tools/call",
           "params":{"name":"test_until_cancelled"}})");
  Settle();
  Tell(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"none"}})");
  Settle();
  EXPECT_EQ(outlet_->withdrawn, 0);
  Tell(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"long"}})");
  Wait();
  EXPECT_EQ(outlet_->withdrawn, 1);
  EXPECT_EQ(outlet_->answers.size(), 1u);  // of initialize
}

TEST_F(SessionTest, TheEndOfASessionCancelsItsCalls) {
  Begin();
  Tell(R"({"jsonrpc":"2.0","id":1,"method":"tools/call",
           "params":{"name":"test_until_cancelled"}})");
  Settle();
  session_->End();
  Wait();
  EXPECT_EQ(outlet_->withdrawn, 1);
  EXPECT_EQ(CodeOf(Ask("ping")), kServerError);
}

TEST_F(SessionTest, AnIdInUseAndTooManyCallsAreRefused) {
  Begin();
  for (size_t i = 0; i < Session::kMaxCalls; ++i) {
    Tell(fmt::format(R"({{"jsonrpc":"2.0","id":"c{}","method":"tools/call",
                         "params":{{"name":"test_until_cancelled"}}}})",
                     i));
  }
  Tell(R"({"jsonrpc":"2.0","id":"c0","method":"tools/call",
           "params":{"name":"test_until_cancelled"}})");
  EXPECT_EQ(CodeOf(outlet_->answers.back()), kInvalidRequest);
  EXPECT_EQ(CodeOf(Ask("tools/call", R"({"name":"test_simple_text"})")), kServerError);
  session_->End();
  Wait();
}

TEST_F(SessionTest, AToolAsksTheClientAndGetsItsAnswer) {
  Begin("2025-11-25", R"({"sampling":{}})");
  Tell(R"({"jsonrpc":"2.0","id":"s","method":"tools/call",
           "params":{"name":"test_sampling","arguments":{"prompt":"Hi"}}})");
  Settle();
  const Value& question = outlet_->sent.back();
  EXPECT_EQ(question.at("method"), Value("sampling/createMessage"));
  Tell(R"({"jsonrpc":"2.0","id":12345,"result":{}})");  // to nothing that was asked
  Tell(fmt::format(R"({{"jsonrpc":"2.0","id":{},"result":{{"model":"m"}}}})",
                   question.at("id").as_int64()));
  Wait();
  EXPECT_THAT(base::json::WriteValue(outlet_->answers.back()), HasSubstr("LLM response"));
}

TEST_F(SessionTest, AClientThatRefusesOrCannotBeAskedIsAnErrorOfTheTool) {
  Begin("2025-11-25", R"({"sampling":{}})");
  const Value& unable = Ask("tools/call", R"({"name":"test_elicitation"})");
  EXPECT_THAT(base::json::WriteValue(unable), HasSubstr("does not offer elicitation/create"));
  Tell(R"({"jsonrpc":"2.0","id":"s","method":"tools/call","params":{"name":"test_sampling"}})");
  Settle();
  Tell(fmt::format(R"({{"jsonrpc":"2.0","id":{},"error":{{"code":-1,"message":"no\u001b"}}}})",
                   outlet_->sent.back().at("id").as_int64()));
  Wait();
  EXPECT_THAT(base::json::WriteValue(outlet_->answers.back()),
              HasSubstr(R"(the client refused sampling/createMessage: no\\x1b)"));
}

TEST_F(SessionTest, ACallThatWaitsForTheClientCanBeCancelled) {
  Begin("2025-11-25", R"({"sampling":{}})");
  Tell(R"({"jsonrpc":"2.0","id":"s","method":"tools/call","params":{"name":"test_sampling"}})");
  Settle();
  Tell(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s"}})");
  Wait();
  EXPECT_EQ(outlet_->withdrawn, 1);
}

TEST_F(SessionTest, LogMessagesBelowTheLevelAreNotSent) {
  Begin();
  Ask("logging/setLevel", R"({"level":"warning"})");
  Tell(R"({"jsonrpc":"2.0","id":9,"method":"tools/call",
           "params":{"name":"test_tool_with_logging"}})");
  Wait();
  EXPECT_TRUE(outlet_->sent.empty());
  Ask("logging/setLevel", R"({"level":"info"})");
  Tell(R"({"jsonrpc":"2.0","id":9,"method":"tools/call",
           "params":{"name":"test_tool_with_logging"}})");
  Wait();
  EXPECT_EQ(outlet_->sent.size(), 3u);
}

TEST_F(SessionTest, OnlySubscribersHearOfAResource) {
  Begin();
  session_->ResourceUpdated("test://watched-resource");
  EXPECT_TRUE(own_->sent.empty());
  Ask("resources/subscribe", R"({"uri":"test://watched-resource"})");
  session_->ResourceUpdated("test://watched-resource");
  ASSERT_EQ(own_->sent.size(), 1u);
  Ask("resources/unsubscribe", R"({"uri":"test://watched-resource"})");
  session_->ResourceUpdated("test://watched-resource");
  EXPECT_EQ(own_->sent.size(), 1u);
}

TEST_F(SessionTest, SubscriptionsAreBounded) {
  Begin();
  for (size_t i = 0; i < Session::kMaxSubscriptions; ++i) {
    Ask("resources/subscribe", fmt::format(R"({{"uri":"test://{}"}})", i));
  }
  EXPECT_EQ(CodeOf(Ask("resources/subscribe", R"({"uri":"test://more"})")), kServerError);
  EXPECT_TRUE(Ask("resources/subscribe", R"({"uri":"test://1"})").as_object().contains("result"));
}

}  // namespace
}  // namespace msb::server::mcp
