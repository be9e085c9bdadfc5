#include "src/server/mcp/message.h"

#include <gtest/gtest.h>

namespace msb::server::mcp {
namespace {

int CodeOf(std::string_view text) {
  const auto incoming = ReadIncoming(text);
  if (!incoming) return incoming.error().error.code;
  return incoming->messages.front() ? 0 : incoming->messages.front().error().error.code;
}

TEST(MessageTest, RequestsNotificationsAndResponsesAreToldApart) {
  const auto request = ReadIncoming(R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1}})");
  ASSERT_TRUE(request && request->messages.front());
  EXPECT_EQ(request->messages.front()->kind, Message::Kind::kRequest);
  EXPECT_EQ(request->messages.front()->params.at("x"), Value(1));

  const auto notification = ReadIncoming(R"({"jsonrpc":"2.0","method":"a"})");
  EXPECT_EQ(notification->messages.front()->kind, Message::Kind::kNotification);

  const auto response = ReadIncoming(R"({"jsonrpc":"2.0","id":"q","result":{}})");
  EXPECT_EQ(response->messages.front()->kind, Message::Kind::kResponse);
  EXPECT_TRUE(response->messages.front()->outcome.has_value());

  const auto failure =
      ReadIncoming(R"({"jsonrpc":"2.0","id":"q","error":{"code":-1,"message":"no"}})");
  EXPECT_EQ(failure->messages.front()->outcome.error().message, "no");
}

TEST(MessageTest, WhatIsNoMessageIsRefusedWithTheRightCode) {
  EXPECT_EQ(CodeOf("{"), kParseError);
  EXPECT_EQ(CodeOf("1"), kInvalidRequest);
  EXPECT_EQ(CodeOf("{}"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"1.0","id":1,"method":"a"})"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","id":null,"method":"a"})"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","id":1.5,"method":"a"})"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","id":{},"method":"a"})"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","method":"a","id":")" + std::string(257, 'i') + "\"}"),
            kInvalidRequest);
  EXPECT_EQ(CodeOf("[" + std::string(200'000, ',') + "]"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","id":1,"method":1})"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","id":1})"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","id":1,"result":1,"error":{}})"), kInvalidRequest);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","id":1,"method":"a","params":[]})"), kInvalidParams);
  EXPECT_EQ(CodeOf(R"({"jsonrpc":"2.0","id":1,"method":"a"})"), 0);
}

TEST(MessageTest, TheIdOfAMalformedRequestIsKept) {
  const auto incoming = ReadIncoming(R"({"jsonrpc":"2.0","id":"u1","method":"a","params":3})");
  EXPECT_EQ(incoming->messages.front().error().id, Value("u1"));
}

TEST(MessageTest, ABatchIsNeitherEmptyNorTooLong) {
  EXPECT_EQ(CodeOf("[]"), kInvalidRequest);
  std::string many = "[1";
  for (size_t i = 0; i < kMaxBatch; ++i) many += ",1";
  EXPECT_EQ(ReadIncoming(many + "]").error().error.code, kInvalidRequest);
  const auto two = ReadIncoming(R"([{"jsonrpc":"2.0","id":1,"method":"a"},7])");
  ASSERT_TRUE(two);
  EXPECT_TRUE(two->batch);
  EXPECT_TRUE(two->messages[0]);
  EXPECT_FALSE(two->messages[1]);
}

}  // namespace
}  // namespace msb::server::mcp
