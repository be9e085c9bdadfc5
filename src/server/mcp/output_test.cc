#include "src/server/mcp/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace msb::server::mcp {
namespace {

using ::testing::HasSubstr;

TEST(LineLogTest, LinesStandWhereTheyBegan) {
  LineLog log;
  log.Add("stdout", "a");
  log.Add("stderr", "b\n");
  log.Add("stdout", "c\n\n");
  EXPECT_EQ(log.Text(), "ac\nb\n\n");
  EXPECT_EQ(log.Lines().size(), 3u);
  EXPECT_FALSE(log.truncated());
}

TEST(LineLogTest, TheMiddleOfLongOutputIsLeftOut) {
  LineLog log;
  for (int i = 0; i < 100000; ++i) log.Add("stdout", fmt::format("line {}\n", i));
  const std::string text = log.Text();
  EXPECT_TRUE(log.truncated());
  EXPECT_LT(text.size(), LineLog::kHeadBytes + LineLog::kTailBytes + 1000);
  EXPECT_TRUE(text.starts_with("line 0\n"));
  EXPECT_TRUE(text.ends_with("line 99999\n"));
  EXPECT_THAT(text, HasSubstr("lines and 0 bytes of long lines are left out"));
}

TEST(LineLogTest, OneEndlessLineIsCut) {
  LineLog log;
  for (int i = 0; i < 1000; ++i) log.Add("stdout", std::string(1000, 'x'));
  EXPECT_EQ(log.Lines().size(), 1u);
  EXPECT_EQ(log.Lines()[0].text.size(), LineLog::kMaxLineBytes);
  EXPECT_THAT(log.Text(), HasSubstr("991808 bytes"));
}

TEST(LineLogTest, ALineThatStaysOpenMayBeLeftOutAndBeginsAnew) {
  LineLog log;
  for (int i = 0; i < 5000; ++i) log.Add("stdout", "filling the head and the tail\n");
  log.Add("stderr", "open");
  for (int i = 0; i < 5000; ++i) log.Add("stdout", "filling the head and the tail\n");
  log.Add("stderr", "again\n");
  EXPECT_TRUE(log.Text().ends_with("again\n"));
}

TEST(LineLogTest, BytesThatAreNotUtf8AreReplaced) {
  LineLog log;
  log.Add("stdout", "a\xff\xc3\xa4\xe2\x82\n");
  EXPECT_EQ(log.Text(), "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\n");
}

TEST(LineLogTest, ALongLineIsCutBetweenCharacters) {
  LineLog log;
  std::string text = "x";
  while (text.size() < 2 * LineLog::kMaxLineBytes) text += "\xe2\x82\xac";
  log.Add("stdout", text);
  EXPECT_TRUE(base::IsValidUtf8(log.Text()));
}

TEST(LineLogTest, TheLatestLinesAreFewAndShort) {
  LineLog log;
  for (int i = 0; i < 10; ++i) log.Add("stdout", fmt::format("line {}\n", i));
  EXPECT_EQ(log.Latest(), "line 7\nline 8\nline 9");
  log.Add("stdout", std::string(5000, 'y') + "\n");
  EXPECT_EQ(log.Latest().size(), 500u);
}

}  // namespace
}  // namespace msb::server::mcp
