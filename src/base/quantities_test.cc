#include "src/base/quantities.h"

#include <gtest/gtest.h>

namespace msb::base {
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

TEST(DurationTest, HasAUnitOrIsHours) {
  EXPECT_EQ(*ParseDuration("90s"), 90'000u);
  EXPECT_EQ(*ParseDuration("10m"), 600'000u);
  EXPECT_EQ(*ParseDuration("2"), 2u * 3'600'000);
  EXPECT_EQ(*ParseDuration("2h"), 2u * 3'600'000);
  EXPECT_EQ(*ParseDuration("1d"), 86'400'000u);
  EXPECT_EQ(*ParseDuration("1w"), 7u * 86'400'000);
  EXPECT_EQ(*ParseDuration("1mo"), 30ull * 86'400'000);
  EXPECT_EQ(*ParseDuration("1y"), 365ull * 86'400'000);
}

TEST(DurationTest, NonsenseIsAnErrorThatQuotesIt) {
  for (const char* text : {"", "s", "1x", "-1s", "0", "0m", "1.5h", "1 s", "101y",
                           "99999999999999999999s", "18446744073709551615w"}) {
    const auto duration = ParseDuration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_NE(duration.error().message().find(fmt::format("\"{}\"", text)), std::string::npos);
  }
}

}  // namespace
}  // namespace msb::base
