#include "src/server/async.h"

#include <gtest/gtest.h>

namespace msb::server {
namespace {

TEST(DeadlineInTest, IsSoManySecondsFromNow) {
  const auto before = Clock::now();
  const auto deadline = DeadlineIn(0.25);
  EXPECT_GE(deadline, before + std::chrono::milliseconds(250));
  EXPECT_LE(deadline, Clock::now() + std::chrono::milliseconds(250));
}

TEST(DeadlineInTest, IsNeverWithoutALimitOrBeyondACentury) {
  EXPECT_EQ(DeadlineIn(std::nullopt), Clock::time_point::max());
  EXPECT_EQ(DeadlineIn(1e300), Clock::time_point::max());
  constexpr double kCentury_s = 100.0 * 365.25 * 24 * 3600;
  EXPECT_GT(DeadlineIn(kCentury_s), Clock::now()) << "no overflow";
}

}  // namespace
}  // namespace msb::server
