#include "src/sandbox/environment.h"

#include <gtest/gtest.h>

namespace msb::sandbox {
namespace {

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
}  // namespace msb::sandbox
