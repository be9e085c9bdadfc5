#include "src/sandbox/cpu_slots.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <span>

#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

class CpuSlotsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/msb-slots-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    path_ = name;
    parent_ = *base::OpenFile(path_, O_RDONLY | O_DIRECTORY);
  }
  void TearDown() override { ASSERT_TRUE(base::RemoveTreeAt(AT_FDCWD, path_)); }

  CpuSlots Open() { return *CpuSlots::Open(parent_.get()); }

  std::string path_;
  base::UniqueFd parent_;
};

TEST_F(CpuSlotsTest, ASlotIsTakenOnceAndFreeWhenItWasGiven) {
  const CpuSlots one = Open();
  const CpuSlots other = Open();
  ASSERT_TRUE(one.TryTake({3, 0}));
  const base::Status again = other.TryTake({3, 0});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), base::ErrorCode::kBusy);
  one.Give({3, 0});
  EXPECT_TRUE(other.TryTake({3, 0}));
}

TEST_F(CpuSlotsTest, CountingFindsWhateverOthersHoldInAnyOrder) {
  std::vector<CpuSlots> holders;
  for (const CpuSlot slot : {CpuSlot{1, 1}, CpuSlot{0, 0}, CpuSlot{8191, 4095}, CpuSlot{1, 0},
                             CpuSlot{0, 4095}, CpuSlot{1, 3}}) {
    holders.push_back(Open());
    ASSERT_TRUE(holders.back().TryTake(slot));
  }
  const CpuLoad load = *Open().Count();
  EXPECT_EQ(load.Used(), base::CpuList({0, 1, 8191}));
  EXPECT_EQ(load.On(0), 2u);
  EXPECT_EQ(load.On(1), 3u);
  EXPECT_EQ(load.On(2), 0u);
  EXPECT_EQ(load.LowestFree(0), 1u);
  EXPECT_EQ(load.LowestFree(1), 2u);
  EXPECT_EQ(load.LowestFree(2), 0u);
  EXPECT_EQ(holders[0].Count()->On(1), 2u) << "one's own slots are not counted";
}

TEST_F(CpuSlotsTest, ASlotEndsWithItsProcessHoweverThatEnds) {
  const base::Pair ready = *base::MakePipe();
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const CpuSlots slots = Open();
    const bool taken = slots.TryTake({0, 0}).has_value();
    (void)base::WriteFull(ready.second.get(), taken ? "y" : "n");
    for (;;) ::pause();
  }
  std::byte answer;
  ASSERT_TRUE(base::ReadFull(ready.first.get(), std::span(&answer, 1)));
  EXPECT_EQ(static_cast<char>(answer), 'y');
  EXPECT_EQ(Open().Count()->On(0), 1u);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(Open().Count()->On(0), 0u);
}

TEST_F(CpuSlotsTest, WhatIsNoSlotIsRefused) {
  const CpuSlots slots = Open();
  EXPECT_FALSE(slots.TryTake({-1, 0}));
  EXPECT_FALSE(slots.TryTake({base::kMaxCpus, 0}));
  EXPECT_FALSE(slots.TryTake({0, CpuSlots::kSlotsPerCpu}));
}

TEST_F(CpuSlotsTest, AFileThatIsLockedAsAWholeIsAnErrorAndNoEndlessCount) {
  const CpuSlots slots = Open();
  const auto file = base::OpenFileAt(parent_.get(), ".placement/slots", O_RDWR);
  ASSERT_TRUE(base::TryLock(file->get(), base::LockMode::kExclusive));
  EXPECT_FALSE(slots.Count());
}

TEST_F(CpuSlotsTest, TheTurnIsOnesAloneAndNoSlot) {
  const CpuSlots one = Open();
  const CpuSlots other = Open();
  ASSERT_TRUE(one.TryTakeTurn());
  EXPECT_FALSE(other.TryTakeTurn());
  EXPECT_TRUE(other.Count()->Used().empty());
  one.GiveTurn();
  EXPECT_TRUE(other.TryTakeTurn());
}

TEST_F(CpuSlotsTest, ABellIsHeardByOneListener) {
  const CpuSlots slots = Open();
  EXPECT_FALSE(slots.Ring(5, 2)) << "there never was a listener";
  {
    const base::UniqueFd one = *slots.OpenBell(5);
    const base::UniqueFd other = *slots.OpenBell(5);
    EXPECT_TRUE(slots.Ring(5, 2));
    uint16_t note = 0;
    EXPECT_EQ(*base::Read(other.get(), std::as_writable_bytes(std::span(&note, 1))), 2u);
    EXPECT_EQ(note, 2);
    EXPECT_FALSE(base::Read(one.get(), std::as_writable_bytes(std::span(&note, 1))));
  }
  EXPECT_FALSE(slots.Ring(5, 2)) << "the listeners are gone";
}

TEST_F(CpuSlotsTest, ABellThatNobodyAnswersDoesNotBlockWhoRingsIt) {
  const CpuSlots slots = Open();
  const base::UniqueFd listener = *slots.OpenBell(0);
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(slots.Ring(0, 1));
}

}  // namespace
}  // namespace msb::sandbox
