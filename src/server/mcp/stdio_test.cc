#include "src/server/mcp/stdio.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sys.h"
#include "src/server/mcp/fixture/fixture.h"
#include "src/server/mcp/testing/fakes.h"

namespace msb::server::mcp {
namespace {

using ::testing::HasSubstr;

Async<void> RunAndKeep(StdioTransport& transport, std::optional<base::Status>& status) {
  status = co_await transport.Run();
}

class StdioTest : public ::testing::Test {
 protected:
  void SetUp() override {
    base::Pair in = *base::MakePipe();
    base::Pair out = *base::MakePipe();
    in_ = std::move(in.second);
    out_ = std::move(out.first);
    transport_ = std::make_unique<StdioTransport>(context_.get_executor(), MakeFixture(),
                                                  Caller{.key_id = "k"}, std::move(in.first),
                                                  std::move(out.second));
    boost::asio::co_spawn(context_, RunAndKeep(*transport_, status_), boost::asio::detached);
  }
  void Say(std::string_view text) { ASSERT_TRUE(base::WriteFull(in_.get(), text)); }
  void Begin(std::string_view version = "2025-11-25") {
    Say(fmt::format(R"({{"jsonrpc":"2.0","id":0,"method":"initialize",)"
                    R"("params":{{"protocolVersion":"{}"}}}})"
                    "\n",
                    version));
  }
  void Settle() {
    context_.restart();
    context_.poll();
  }
  // Runs to the end and gives the lines.
  std::vector<Value> Finish() {
    in_.Reset();
    context_.restart();
    context_.run();
    transport_.reset();
    return Lines();
  }
  std::vector<Value> Lines() {
    const std::string text = *base::ReadToEnd(out_.get(), 1 << 20);
    std::vector<Value> lines;
    for (std::string_view rest = text; !rest.empty();) {
      const size_t newline = rest.find('\n');
      lines.push_back(*base::json::ParseValue(rest.substr(0, newline)));
      rest.remove_prefix(newline + 1);
    }
    return lines;
  }

  boost::asio::io_context context_;
  base::UniqueFd in_;
  base::UniqueFd out_;
  std::unique_ptr<StdioTransport> transport_;
  std::optional<base::Status> status_;
};

TEST_F(StdioTest, AMessageIsALine) {
  Begin();
  Say("\r\n\n{\"jsonrpc\":\"2.0\",\"id\":1,");
  Settle();
  Say("\"method\":\"ping\"}\r\n");
  const auto lines = Finish();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1], *base::json::ParseValue(R"({"jsonrpc":"2.0","id":1,"result":{}})"));
  EXPECT_TRUE(*status_);
}

TEST_F(StdioTest, WhatWasAskedBeforeTheEndOfInputIsAnswered) {
  Begin();
  Say(R"({"jsonrpc":"2.0","id":1,"method":"tools/call",)"
      R"("params":{"name":"test_tool_with_progress","_meta":{"progressToken":1}}})"
      "\n");
  const auto lines = Finish();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines.back().at("id"), Value(1));
}

TEST_F(StdioTest, TheEndOfTheReaderEndsWhatStillRuns) {
  Begin();
  Say(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"test_until_cancelled"}})"
      "\n");
  Settle();
  in_.Reset();
  Settle();
  EXPECT_FALSE(status_);
  out_.Reset();
  context_.restart();
  context_.run();
  EXPECT_TRUE(status_);
}

TEST_F(StdioTest, StopEndsWhatStillRuns) {
  Begin();
  Say(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"test_until_cancelled"}})"
      "\n");
  Settle();
  transport_->Stop();
  context_.restart();
  context_.run();
  EXPECT_TRUE(status_);
}

TEST_F(StdioTest, WhatIsNoMessageIsAnsweredWithAnError) {
  Say("nonsense\n");
  Say("{}\n");
  const auto lines = Finish();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].at("error").at("code"), Value(kParseError));
  EXPECT_EQ(lines[1].at("error").at("code"), Value(kInvalidRequest));
}

TEST_F(StdioTest, ABatchIsAnsweredAsOne) {
  Begin("2025-03-26");
  Say(R"([{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"},7])"
      "\n");
  const auto lines = Finish();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].as_array().size(), 2u);
}

TEST_F(StdioTest, ALineWithoutEndIsRefused) {
  const std::string piece(60000, 'x');
  for (size_t sent = 0; sent <= StdioTransport::kMaxLineBytes; sent += piece.size()) {
    Say(piece);
    Settle();
  }
  context_.restart();
  context_.run();
  ASSERT_TRUE(status_ && !*status_);
  EXPECT_EQ(status_->error().code(), base::ErrorCode::kLimit);
}

TEST_F(StdioTest, AClientThatDoesNotReadIsNotReadFrom) {
  Begin();
  const std::string ask = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}\n";
  ASSERT_TRUE(base::SetNonBlocking(in_.get(), true));
  for (int i = 0; i < 100000; ++i) {
    Settle();
    const auto written = base::Write(in_.get(), std::as_bytes(std::span(ask)));
    if (!written) break;  // it takes no more
    ASSERT_LT(i, 99999);
  }
  transport_->Stop();
  context_.restart();
  context_.run();
  EXPECT_TRUE(status_);
}

}  // namespace
}  // namespace msb::server::mcp
