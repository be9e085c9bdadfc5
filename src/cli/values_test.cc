#include "src/cli/values.h"

#include <gtest/gtest.h>

namespace msb::cli {
namespace {

TEST(SizeTest, AnIntegerIsMebibytes) { EXPECT_EQ(*ParseSize("512"), 512ull << 20); }

TEST(SizeTest, UnitsArePowersOf1024InEitherCase) {
  EXPECT_EQ(*ParseSize("64K"), 64ull << 10);
  EXPECT_EQ(*ParseSize("3m"), 3ull << 20);
  EXPECT_EQ(*ParseSize("2G"), 2ull << 30);
}

TEST(SizeTest, NonsenseIsAnErrorThatQuotesIt) {
  for (const char* text : {"", "x", "1T", "-1", "0", "1.5G", "99999999999999G", "1 G", "G"}) {
    const auto size = ParseSize(text);
    ASSERT_FALSE(size) << text;
    EXPECT_NE(size.error().message().find(fmt::format("\"{}\"", text)), std::string::npos);
  }
}

TEST(EnvTest, NeedsANameAndAnEqualsSign) {
  EXPECT_TRUE(ParseEnv("A="));
  EXPECT_TRUE(ParseEnv("A=b=c"));
  EXPECT_FALSE(ParseEnv("A"));
  EXPECT_FALSE(ParseEnv("=b"));
}

TEST(EnvTest, LaterValuesReplaceEarlierOnesInPlace) {
  const std::vector<base::Bytes> merged = MergeEnv({"A=1", "B=2"}, {"A=3", "C=4"});
  EXPECT_EQ(merged, (std::vector<base::Bytes>{"A=3", "B=2", "C=4"}));
}

}  // namespace
}  // namespace msb::cli
