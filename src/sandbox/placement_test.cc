#include "src/sandbox/placement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <random>
#include <span>

#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

using base::CpuList;

CpuLoad LoadOf(const std::map<int, uint32_t>& counts) {
  CpuLoad load;
  for (const auto& [cpu, count] : counts) {
    for (uint32_t slot = 0; slot < count; ++slot) load.Add({cpu, slot});
  }
  return load;
}

TEST(PlacementDecisionTest, TheLeastLoadedAllowedCpuIsTaken) {
  const CpuLoad load = LoadOf({{0, 3}, {1, 1}, {2, 2}});
  EXPECT_EQ(LeastLoaded(load, {0, 1, 2}, 0, 7), 1);
  EXPECT_EQ(LeastLoaded(load, {0, 2}, 0, 7), 2);
  EXPECT_EQ(LeastLoaded(load, {0, 1, 2, 3}, 0, 7), 3);
  EXPECT_EQ(LeastLoaded(load, {}, 0, 7), std::nullopt);
}

TEST(PlacementDecisionTest, AmongEqualsTheBusyOneIsLastAndChanceDecides) {
  const CpuLoad load = LoadOf({{0, 1}, {1, 1}, {2, 1}});
  EXPECT_EQ(LeastLoaded(load, {0, 1, 2}, 1, 0), 0);
  EXPECT_EQ(LeastLoaded(load, {0, 1, 2}, 1, 1), 2);
  EXPECT_EQ(LeastLoaded(load, {1}, 1, 0), 1);
  EXPECT_EQ(LeastLoaded(LoadOf({{0, 1}}), {0, 1}, 1, 0), 1) << "busy, but emptier";
}

TEST(PlacementDecisionTest, ASandboxMovesForADifferenceOfTwoAndNotOfOne) {
  EXPECT_EQ(BetterCpu(LoadOf({{0, 2}}), 0, {0, 1}), 1);
  EXPECT_EQ(BetterCpu(LoadOf({{0, 2}, {1, 1}}), 0, {0, 1}), std::nullopt);
  EXPECT_EQ(BetterCpu(LoadOf({{0, 3}, {1, 1}, {2, 0}}), 0, {0, 1, 2}), 2);
  EXPECT_EQ(BetterCpu(LoadOf({{0, 3}, {1, 1}, {2, 0}}), 0, {0, 1}), 1);
  EXPECT_EQ(BetterCpu(LoadOf({{0, 9}}), 0, {0}), std::nullopt);
}

TEST(PlacementDecisionTest, ASandboxLeavesACpuThatIsNoLongerAllowed) {
  EXPECT_EQ(BetterCpu(LoadOf({{0, 1}, {1, 5}}), 0, {1}), 1);
  EXPECT_EQ(BetterCpu(LoadOf({{0, 1}}), 0, {}), std::nullopt);
}

TEST(PlacementDecisionTest, CrowdedIsWhatHasTwoMoreMostFirst) {
  EXPECT_EQ(Crowded(LoadOf({{0, 2}, {1, 4}, {2, 1}, {3, 3}, {4, 4}}), 2), CpuList({1, 4, 3}));
  EXPECT_EQ(Crowded(LoadOf({{0, 1}, {1, 1}}), 2), CpuList());
}

class PlacementTest : public testing::Test {
 protected:
  struct Sandbox {
    std::unique_ptr<Placement> placement;
    int moves = 0;
  };

  void SetUp() override {
    char name[] = "/tmp/msb-placement-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    path_ = name;
    parent_ = *base::OpenFile(path_, O_RDONLY | O_DIRECTORY);
    loop_ = *base::EventLoop::Create();
  }
  void TearDown() override {
    sandboxes_.clear();
    ASSERT_TRUE(base::RemoveTreeAt(AT_FDCWD, path_));
  }

  // CPUs are mere numbers here: nothing is pinned.
  Sandbox& Start(const CpuList& cpus) {
    Sandbox& sandbox = *sandboxes_.emplace_back(std::make_unique<Sandbox>());
    sandbox.placement = Placement::Choose(parent_.get(), cpus);
    sandbox.placement->Follow(*loop_, [this, &sandbox](int) -> base::Status {
      if (cannot_move_) return base::Fail(base::ErrorCode::kDenied, "not in this test");
      ++sandbox.moves;
      ++moves_;
      return {};
    });
    return sandbox;
  }
  void EndAllOn(int cpu) {
    std::erase_if(sandboxes_, [&](const auto& one) { return one->placement->cpu() == cpu; });
  }
  std::map<int, int> Counts() {
    std::map<int, int> counts;
    for (const auto& sandbox : sandboxes_) ++counts[*sandbox->placement->cpu()];
    return counts;
  }
  // Until all bells are answered. An oscillation would not end.
  void Settle() {
    for (int events = 0; *loop_->RunOnce(0); ++events) ASSERT_LT(events, 10'000);
  }

  std::string path_;
  base::UniqueFd parent_;
  std::unique_ptr<base::EventLoop> loop_;
  std::vector<std::unique_ptr<Sandbox>> sandboxes_;
  int moves_ = 0;
  bool cannot_move_ = false;
};

TEST_F(PlacementTest, SandboxesSpreadEvenlyAndNoneMovesForThat) {
  for (int i = 0; i < 21; ++i) Start({0, 1, 2, 3});
  Settle();
  EXPECT_EQ(Counts().size(), 4u);
  for (const auto& [cpu, count] : Counts()) EXPECT_TRUE(count == 5 || count == 6) << cpu;
  EXPECT_EQ(moves_, 0);
}

TEST_F(PlacementTest, WhenOneCpuEmptiesJustEnoughMoveThere) {
  for (int i = 0; i < 12; ++i) Start({0, 1});
  EndAllOn(0);
  Settle();
  EXPECT_EQ(Counts(), (std::map<int, int>{{0, 3}, {1, 3}}));
  EXPECT_EQ(moves_, 3);
}

TEST_F(PlacementTest, AStartAndAnEndThatLeaveThingsEvenWakeNobody) {
  for (int i = 0; i < 4; ++i) Start({0, 1});
  Settle();
  for (int i = 0; i < 10; ++i) {
    Start({0, 1});
    sandboxes_.pop_back();
    EXPECT_FALSE(*loop_->RunOnce(0));
  }
}

TEST_F(PlacementTest, WhatACpuListForbidsIsNeverUsed) {
  for (int i = 0; i < 6; ++i) Start({2});
  for (int i = 0; i < 6; ++i) Start({0, 1, 2});
  Settle();
  EXPECT_EQ(Counts(), (std::map<int, int>{{0, 3}, {1, 3}, {2, 6}}));
  EndAllOn(0);
  Settle();
  EXPECT_EQ(Counts()[2], 6);
  EXPECT_EQ(Counts()[0] + Counts()[1], 3);
}

TEST_F(PlacementTest, ANoteThatIsOfNoUseHereIsPassedOnToTheNextCrowdedCpu) {
  for (int i = 0; i < 8; ++i) Start({0, 1});  // four each: they may not leave
  for (int i = 0; i < 6; ++i) Start({2, 3});  // three each
  Settle();
  moves_ = 0;
  EndAllOn(3);
  Settle();
  EXPECT_EQ(Counts(), (std::map<int, int>{{0, 4}, {1, 4}, {2, 2}, {3, 1}}));
  EXPECT_EQ(moves_, 1);
}

TEST_F(PlacementTest, ASandboxThatCannotBeMovedStaysAndIsAskedOnce) {
  for (int i = 0; i < 6; ++i) Start({0, 1});
  cannot_move_ = true;
  EndAllOn(0);
  Settle();
  EXPECT_EQ(Counts(), (std::map<int, int>{{1, 3}}));
  cannot_move_ = false;
  Start({0, 1});
  Settle();
  EXPECT_EQ(*sandboxes_.back()->placement->cpu(), 0);
  EXPECT_EQ(Counts(), (std::map<int, int>{{0, 2}, {1, 2}}));
}

TEST_F(PlacementTest, AnyOrderOfStartsAndEndsSettlesEvenly) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const bool start = sandboxes_.empty() || random() % 100 < (round / 100 % 2 == 0 ? 60u : 40u);
    if (start) {
      Start({0, 1, 2, 3, 4});
    } else {
      sandboxes_.erase(sandboxes_.begin() + static_cast<long>(random() % sandboxes_.size()));
    }
    if (random() % 3 == 0) Settle();  // else several happen before anybody hears of it
  }
  Settle();
  size_t most = 0, fewest = sandboxes_.size();
  for (int cpu = 0; cpu < 5; ++cpu) {
    const auto count = static_cast<size_t>(Counts()[cpu]);
    most = std::max(most, count);
    fewest = std::min(fewest, count);
  }
  EXPECT_LE(most, fewest + 1);
}

TEST_F(PlacementTest, MixedCpuListsSettleToo) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    if (sandboxes_.size() < 5 || random() % 2 == 0) {
      CpuList cpus;
      for (int cpu = 0; cpu < 5; ++cpu) {
        if (random() % 2 == 0) cpus.push_back(cpu);
      }
      if (!cpus.empty()) Start(cpus);
    } else {
      sandboxes_.erase(sandboxes_.begin() + static_cast<long>(random() % sandboxes_.size()));
    }
    Settle();
  }
}

// A process that holds a place until its standing order, the pipe, ends.
pid_t Hold(int parent_fd, const CpuList& cpus, const base::Pair& go, int report_fd) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close(go.second.get());
  std::byte byte;
  (void)base::Read(go.first.get(),
                   std::span(&byte, 1));  // until the parent says so, by an end of file
  const auto placement = Placement::Choose(parent_fd, cpus);
  const int cpu = placement->cpu().value_or(-1);
  (void)base::WriteFull(report_fd, std::as_bytes(std::span(&cpu, 1)));
  for (;;) ::pause();
}

TEST_F(PlacementTest, ProcessesThatStartAtTheSameTimeShareEvenly) {
  base::Pair go = *base::MakePipe();
  const base::Pair report = *base::MakePipe();
  std::vector<pid_t> children;
  for (int i = 0; i < 24; ++i) {
    children.push_back(Hold(parent_.get(), {0, 1, 2}, go, report.second.get()));
  }
  go.second.Reset();
  std::map<int, int> counts;
  for (size_t i = 0; i < children.size(); ++i) {
    int cpu = -1;
    ASSERT_TRUE(base::ReadFull(report.first.get(), std::as_writable_bytes(std::span(&cpu, 1))));
    ++counts[cpu];
  }
  for (const pid_t child : children) ::kill(child, SIGKILL);
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  EXPECT_EQ(counts, (std::map<int, int>{{0, 8}, {1, 8}, {2, 8}}));
}

TEST_F(PlacementTest, WhatKilledSandboxesLeftIsSeenByTheNextStart) {
  base::Pair go = *base::MakePipe();
  const base::Pair report = *base::MakePipe();
  const pid_t child = Hold(parent_.get(), {0}, go, report.second.get());
  go.second.Reset();
  int cpu = -1;
  ASSERT_TRUE(base::ReadFull(report.first.get(), std::as_writable_bytes(std::span(&cpu, 1))));
  for (int i = 0; i < 5; ++i) Start({0, 1});
  EXPECT_EQ(Counts(), (std::map<int, int>{{0, 2}, {1, 3}}));
  EndAllOn(0);  // one and three: even enough, as long as the child lives … until it is killed
  Settle();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  Start({1});
  Settle();
  EXPECT_EQ(Counts(), (std::map<int, int>{{0, 2}, {1, 2}}));
}

TEST_F(PlacementTest, WithoutAPlaceToCountASandboxHasACpuAllTheSame) {
  const base::UniqueFd file = *base::OpenFile("/dev/null", O_RDONLY);
  const auto placement = Placement::Choose(file.get(), {4});
  EXPECT_EQ(placement->cpu(), 4);
  placement->Follow(*loop_, [](int) -> base::Status { return {}; });
  const auto anywhere = Placement::Choose(file.get(), {});
  const CpuList allowed = *base::AllowedCpus();
  EXPECT_TRUE(std::binary_search(allowed.begin(), allowed.end(), *anywhere->cpu()));
}

TEST_F(PlacementTest, CpusThatCannotBeAreIgnored) {
  const auto placement = Placement::Choose(parent_.get(), {-1, 3, base::kMaxCpus});
  EXPECT_EQ(placement->cpu(), 3);
}

}  // namespace
}  // namespace msb::sandbox
