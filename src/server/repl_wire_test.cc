#include "src/server/repl_wire.h"

#include <gtest/gtest.h>

#include <cstring>

namespace msb::server::repl {
namespace {

std::string Frame(std::string_view payload) {
  const auto length = static_cast<uint32_t>(payload.size());
  std::string frame(sizeof(length), '\0');
  std::memcpy(frame.data(), &length, sizeof(length));
  return frame + std::string(payload);
}

struct Read {
  std::vector<FromDriver> messages;
  base::Status status;
};

Read Feed(const std::string& bytes, size_t piece) {
  Read read;
  FrameReader reader;
  for (size_t at = 0; at < bytes.size() && read.status; at += piece) {
    read.status = reader.Feed(
        std::string_view(bytes).substr(at, piece),
        [&](FrameReader::Message message) { read.messages.push_back(std::move(message.content)); });
  }
  return read;
}

std::string ErrorOf(std::string_view payload) {
  const auto message = ParseMessage(payload);
  return message ? "(accepted)" : message.error().message();
}

TEST(ReplWireTest, FramesComeInAnyPieces) {
  const std::string bytes = Frame(R"({"output":{"id":1,"stream":"stdout","data":"hi"}})") +
                            Frame(R"({"done":{"id":1,"status":"ok"}})");
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Read read = Feed(bytes, piece);
    ASSERT_TRUE(read.status);
    ASSERT_EQ(read.messages.size(), 2u) << piece;
    EXPECT_EQ(read.messages[0].output->data.data, "hi");
    EXPECT_EQ(read.messages[1].done->status, "ok");
  }
}

TEST(ReplWireTest, AFrameOfNoLengthOrTooMuchEndsTheConversation) {
  EXPECT_FALSE(Feed(Frame(""), 4).status);
  EXPECT_FALSE(Feed("\xff\xff\xff\xff", 4).status);
  EXPECT_EQ(Feed("\xff\xff\xff\x7f", 4).status.error().code(), base::ErrorCode::kProtocol);
}

TEST(ReplWireTest, UnknownMessagesAndMembersAreIgnored) {
  const auto message = ParseMessage(R"({"news":{"x":1}})");
  ASSERT_TRUE(message);
  EXPECT_FALSE(message->output || message->done || message->hello);
  EXPECT_EQ(ParseMessage(R"({"done":{"id":2,"status":"ok","later":[]}})")->done->id, 2u);
}

TEST(ReplWireTest, WhatBreaksTheBoundsIsRefused) {
  EXPECT_EQ(ErrorOf(R"({"output":{"stream":"stdin","data":""}})"), "output of an unknown stream");
  EXPECT_EQ(ErrorOf(R"({"error":{"stream":"x"}})"), "an error for an unknown stream");
  EXPECT_EQ(ErrorOf(R"({"done":{"id":1},"exit":{"code":0}})"), "a message that is several");
  EXPECT_NE(ErrorOf(R"({"done":{"id":-1}})"), "(accepted)");
  EXPECT_NE(ErrorOf("[]"), "(accepted)");
  EXPECT_NE(ErrorOf("not json"), "(accepted)");
  std::string many = R"({"display":{"data":{)";
  for (size_t i = 0; i <= kMaxTypes; ++i) many += fmt::format("\"a/{}\":\"\",", i);
  many.back() = '}';
  EXPECT_EQ(ErrorOf(many + "}}"), "a value of more than 32 types");
  const std::string name(kMaxTypeName + 1, 'x');
  EXPECT_EQ(ErrorOf(fmt::format(R"({{"display":{{"omitted":{{"{}":1}}}}}})", name)),
            "a type's name of 128 characters");
}

TEST(ReplWireTest, ARunTravelsAsTheDriversExpectIt) {
  const std::string frame =
      EncodeFrame({.run = repl::Run{.id = 7, .code = "1+1"}, .interrupt = {}});
  EXPECT_EQ(frame, Frame(R"({"run":{"id":7,"code":"1+1","echo":true}})"));
  EXPECT_EQ(EncodeFrame({.run = {}, .interrupt = Interrupt{7}}),
            Frame(R"({"interrupt":{"id":7}})"));
}

}  // namespace
}  // namespace msb::server::repl
