#include "src/base/affinity.h"

#include <gtest/gtest.h>

#include <thread>

namespace msb::base {
namespace {

std::string Complaint(std::string_view text) {
  const auto cpus = ParseCpuList(text);
  return cpus ? "parsed" : cpus.error().message();
}

TEST(CpuListTest, IsWrittenAsTasksetHasIt) {
  EXPECT_EQ(*ParseCpuList("0"), CpuList({0}));
  EXPECT_EQ(*ParseCpuList("0,2-3"), CpuList({0, 2, 3}));
  EXPECT_EQ(*ParseCpuList("0-8:4"), CpuList({0, 4, 8}));
  EXPECT_EQ(*ParseCpuList("8191"), CpuList({8191}));
}

TEST(CpuListTest, IsOrderedAndHasEachOnce) {
  EXPECT_EQ(*ParseCpuList("3,1-2,2,0"), CpuList({0, 1, 2, 3}));
}

TEST(CpuListTest, ErrorsQuoteThePartThatIsWrong) {
  EXPECT_EQ(Complaint("0,x"),
            "CPU list: \"x\" is neither a CPU's number nor a range of them (0,2-3)");
  EXPECT_EQ(Complaint("0,3-1"), "CPU list: \"3-1\" is a range that ends before it begins");
  EXPECT_EQ(Complaint("8192"), "CPU list: \"8192\" is too high: CPUs are below 8192");
  EXPECT_EQ(Complaint("0-3:0"), "CPU list: \"0-3:0\" has a stride of 0");
  EXPECT_EQ(Complaint("0,"), "CPU list ends with a comma");
  for (const char* text : {"", ",0", "0,,1", "-1", "1-", "0:2", "0-3:", "0-3:x", "0 1", "+1", "0x1",
                           "1-2-3", "99999999999999999999", "0-2147483648"}) {
    EXPECT_FALSE(ParseCpuList(text)) << text;
  }
}

TEST(CpuListTest, AStrideBeyondTheRangeOverflowsNothing) {
  EXPECT_EQ(*ParseCpuList("5-8191:2147483647"), CpuList({5}));
}

TEST(CpuListTest, IsPrintedInRanges) {
  EXPECT_EQ(FormatCpuList({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(FormatCpuList({}), "");
}

TEST(AffinityTest, AThreadRunsWhereItIsPut) {
  const CpuList before = *AllowedCpus();
  ASSERT_FALSE(before.empty());
  std::thread([&] {
    EXPECT_TRUE(SetAllowedCpus(0, {before.back()}));
    EXPECT_EQ(*AllowedCpus(), CpuList({before.back()}));
  }).join();
  EXPECT_EQ(*AllowedCpus(), before);
}

TEST(AffinityTest, ACpuThatTheHostLacksIsRefused) {
  const Status set = SetAllowedCpus(0, {kMaxCpus - 1});
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().message(), "cannot run on CPU 8191: Invalid argument");
  EXPECT_FALSE(SetAllowedCpus(0, {kMaxCpus}));
  EXPECT_FALSE(SetAllowedCpus(0, {-1}));
}

TEST(AffinityTest, WhetherACpuIsUsableIsAskedWithoutAnEffect) {
  const CpuList before = *AllowedCpus();
  std::thread([&] {
    ASSERT_TRUE(SetAllowedCpus(0, {before.front()}));
    EXPECT_TRUE(CheckUsable(before)) << "a narrow affinity can be widened again";
    const Status refused = CheckUsable({before.front(), kMaxCpus - 2, kMaxCpus - 1});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(),
              fmt::format("CPU 8190-8191 cannot be used here (now allowed: {})", before.front()));
    EXPECT_EQ(*AllowedCpus(), CpuList({before.front()}));
  }).join();
}

}  // namespace
}  // namespace msb::base
