#include "src/agent/frame.h"

#include <gtest/gtest.h>

#include <cstring>

#include "src/base/json.h"

namespace msb::agent {
namespace {

// Hands over `bytes`, `at_once` at a time, and gathers what comes out, by type and stream.
std::string Decode(FrameReader& reader, std::string_view bytes, size_t at_once) {
  std::string seen;
  const auto drain = [&] {
    for (;;) {
      auto frame = reader.Next();
      if (!frame) {
        seen += "!" + frame.error().message();
        return false;
      }
      if (!*frame) return true;
      switch ((*frame)->type) {
        case FrameType::kData:
          seen += fmt::format("{}", (*frame)->payload);
          break;
        case FrameType::kEnd:
          seen += fmt::format("[end {}]", (*frame)->stream);
          break;
        case FrameType::kCredit:
          seen += fmt::format("[credit {} {}]", (*frame)->stream, (*frame)->credit);
          break;
        default:
          seen +=
              fmt::format("[{} {}]", static_cast<int>((*frame)->type), (*frame)->payload.size());
      }
    }
  };
  while (!bytes.empty()) {
    const std::span<char> space = reader.Space();
    const size_t length = std::min({space.size(), at_once, bytes.size()});
    std::memcpy(space.data(), bytes.data(), length);
    reader.Filled(length);
    bytes.remove_prefix(length);
    if (!drain()) break;
  }
  return seen;
}

std::string Encoded(const FrameQueue& queue) { return std::string(queue.front()); }

TEST(Frame, WhatIsWrittenIsReadInPiecesOfAnySize) {
  FrameQueue queue;
  queue.Append(FrameType::kHello, 0, "{}");
  queue.Append(FrameType::kData, kStdout, "hello ");
  queue.Append(FrameType::kData, kFirstExtra + 3, "world");
  queue.AppendCredit(kStdin, 0x01020304);
  queue.Append(FrameType::kEnd, kStderr, "");
  for (size_t at_once = 1; at_once < 64; ++at_once) {
    FrameReader reader(64, kMaxPayload);
    EXPECT_EQ(Decode(reader, Encoded(queue), at_once),
              "[1 2]hello world[credit 0 16909060][end 2]");
    EXPECT_TRUE(reader.AtBoundary());
  }
}

TEST(Frame, ALongJsonFrameIsGatheredAndItsMemoryGivenBack) {
  FrameQueue queue;
  queue.Append(FrameType::kRequest, 0, std::string(kMaxPayload, 'x'));
  queue.Append(FrameType::kData, 1, "after");
  FrameReader reader(4096, kMaxPayload);
  EXPECT_EQ(Decode(reader, Encoded(queue), 1000), fmt::format("[2 {}]after", kMaxPayload));
  EXPECT_EQ(reader.Space().size(), 4096u);
}

TEST(Frame, DataIsPassedOnBeforeItsFrameIsWhole) {
  FrameReader reader(64, kMaxPayload);
  const FrameHeader header = MakeFrameHeader(FrameType::kData, 1, kMaxPayload);
  const std::string begun = std::string(header.data(), header.size()) + "abc";
  EXPECT_EQ(Decode(reader, begun, 100), "abc");
  EXPECT_FALSE(reader.AtBoundary());
}

TEST(Frame, LengthsBeyondTheLimitsAreRefusedBeforeTheyAreAllocated) {
  for (const auto& [type, length] : std::initializer_list<std::pair<uint8_t, uint32_t>>{
           {1, 4097},        // JSON beyond what this reader accepts
           {2, 0xffffffff},  // JSON
           {5, 4},           // credit too short
           {5, 6},           // and too long
           {0x11, 0},        // empty data
           {0x11, kMaxPayload + 1},
           {0x21, 1}}) {  // an end with content
    FrameReader reader(64, 4096);
    std::string header(5, '\0');
    std::memcpy(header.data(), &length, 4);
    header[4] = static_cast<char>(type);
    EXPECT_TRUE(Decode(reader, header + "xxxxxx", 100).starts_with("!")) << int{type};
    EXPECT_FALSE(reader.Next().has_value()) << "the error does not go away";
  }
}

TEST(Frame, TypesAndStreamsThatDoNotExistAreRefused) {
  for (const int type : {0, 6, 0x0f, 0x17, 0x1f, 0x27, 0x30, 0xff}) {
    FrameReader reader(64, 4096);
    const std::string header = {1, 0, 0, 0, static_cast<char>(type)};
    EXPECT_TRUE(Decode(reader, header + "x", 100).starts_with("!")) << type;
  }
  FrameReader reader(64, 4096);
  EXPECT_TRUE(Decode(reader, std::string("\5\0\0\0\5\7\1\0\0\0", 10), 100).starts_with("!"));
}

TEST(Frame, TheQueueKeepsItsOrderWhenItIsSentInParts) {
  FrameQueue queue;
  std::string sent;
  for (int i = 0; i < 2000; ++i) {
    queue.Append(FrameType::kData, 1, std::string(300, static_cast<char>('a' + i % 26)));
    const size_t part = std::min<size_t>(queue.size(), 250);
    sent += queue.front().substr(0, part);
    queue.Sent(part);
  }
  sent += queue.front();
  queue.Sent(queue.size());
  EXPECT_TRUE(queue.empty());
  FrameReader reader(1024, 1024);
  const std::string seen = Decode(reader, sent, 777);
  EXPECT_EQ(seen.size(), 600000u);
  EXPECT_EQ(seen.find('!'), std::string::npos);
}

TEST(Messages, ARequestSurvivesTheJourney) {
  Request request;
  request.seq = 7;
  request.exec = Exec{.id = std::string(32, 'a'),
                      .argv = {"printf", "\xff\xfe", std::string("a\0b", 3)},
                      .env = {"A=\xc3\xa9"},
                      .user = "app:2000",
                      .pty = WindowSize{.columns = 1, .rows = 2},
                      .output = OutputPolicy::kDropOldest};
  const std::string text = base::json::Write(request);
  const auto read = base::json::Parse<Request>(text, base::json::Mode::kStrict);
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(base::json::Write(*read), text);
  EXPECT_EQ(read->exec->argv[1].data, "\xff\xfe");
  EXPECT_EQ(read->exec->argv[2].data.size(), 3u);
  EXPECT_EQ(read->exec->output, OutputPolicy::kDropOldest);
  EXPECT_FALSE(read->attach.has_value());
}

TEST(Messages, AnExecWithoutItsIdIsRefusedByName) {
  const auto read = base::json::Parse<Request>(R"({"seq":1,"exec":{"argv":["x"]}})");
  ASSERT_FALSE(read.has_value());
  EXPECT_NE(read.error().message().find("exec.id"), std::string::npos);
}

TEST(Messages, ShellCodesAreBounded) {
  EXPECT_EQ((Exited{.value = 7}.ShellCode()), 7);
  EXPECT_EQ((Exited{.signaled = true, .value = 9}.ShellCode()), 137);
  EXPECT_GE((Exited{.signaled = true, .value = ~0u}.ShellCode()), 0);
}

}  // namespace
}  // namespace msb::agent
