#include "src/sandbox/run_directory.h"

#include <sys/wait.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/sandbox/guest_log.h"
#include "src/sandbox/host_identity.h"
#include "src/sandbox/testing.h"

namespace msb::sandbox {
namespace {

using RunDirectoryTest = HomeTest;

TEST_F(RunDirectoryTest, HoldsItsLockAndStateAndGoesWithItsOwner) {
  {
    auto run = RunDirectory::Create(id_);
    ASSERT_TRUE(run) << run.error().message();
    State state;
    state.id = id_;
    ASSERT_TRUE(run->WriteState(state));
    EXPECT_TRUE(Exists(id_ + "/state.json"));
    auto lock = base::OpenFileAt(run->fd(), "lock", O_RDWR);
    ASSERT_TRUE(lock);
    EXPECT_TRUE(*base::IsLocked(lock->get()));
  }
  EXPECT_FALSE(Exists(id_));
}

TEST_F(RunDirectoryTest, AnIdIsTakenOnce) {
  auto run = RunDirectory::Create(id_);
  ASSERT_TRUE(run);
  const auto again = RunDirectory::Create(id_);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), base::ErrorCode::kExists);
}

TEST_F(RunDirectoryTest, SweepingTakesTheDeadAndLeavesTheLiving) {
  auto living = RunDirectory::Create(id_);
  ASSERT_TRUE(living);
  const std::string dead = base::RandomHex(16);
  const base::UniqueFd parent = *RunDirectory::OpenParent();
  ASSERT_EQ(::mkdirat(parent.get(), dead.c_str(), 0700), 0);
  ASSERT_TRUE(base::OpenFileAt(parent.get(), dead + "/lock", O_CREAT | O_RDWR, 0600));
  SweepRunDirectories();
  EXPECT_FALSE(Exists(dead));
  EXPECT_TRUE(Exists(id_));
}

TEST_F(RunDirectoryTest, WhatAnotherProcessStillHoldsIsNotSwept) {
  auto sockets = base::MakeSocketPair(base::SocketType::kSeqPacket);
  ASSERT_TRUE(sockets);
  const pid_t monitor = ::fork();
  if (monitor == 0) {  // hands its lock on, as to msb-vmm, and dies without cleaning up
    auto run = RunDirectory::Create(id_);
    const int lock = run->lock_fd();
    (void)base::SendWithFds(sockets->second.get(), std::as_bytes(std::span("x", 1)),
                            std::span(&lock, 1));
    ::_exit(0);
  }
  ::waitpid(monitor, nullptr, 0);
  std::byte byte;
  auto received = base::ReceiveWithFds(sockets->first.get(), std::span(&byte, 1));
  ASSERT_TRUE(received && received->fds.size() == 1);
  SweepRunDirectories();
  EXPECT_TRUE(Exists(id_));
  received->fds.clear();
  SweepRunDirectories();
  EXPECT_FALSE(Exists(id_));
}

TEST(IdRangeTest, PrefersItsBaseAndElseTakesTheTopOfTheLargestRange) {
  EXPECT_EQ(*ChooseIdBase("         0          0 4294967295\n", 0x70000000, 4096), 0x70000000u);
  EXPECT_EQ(*ChooseIdBase("0 100000 65536\n", 0x70000000, 4096), 65536u - 4096 - 1);
  EXPECT_EQ(*ChooseIdBase("0 1000 1\n1 100000 65536\n", 0x70000000, 4096), 65537u - 4096 - 1);
}

TEST(IdRangeTest, ATooSmallRangeIsAnErrorThatSaysWhatToDo) {
  const auto base = ChooseIdBase("0 1000 1\n", 0x70000000, 4096);
  ASSERT_FALSE(base);
  EXPECT_NE(base.error().message().find("ordinary user"), std::string::npos);
}

TEST(GuestLogTest, KeepsTheLastLines) {
  auto loop = base::EventLoop::Create();
  ASSERT_TRUE(loop);
  base::UniqueFd write_end;
  auto log = GuestLog::Create(**loop, write_end);
  ASSERT_TRUE(log);
  ASSERT_TRUE(base::WriteFull(write_end.get(), "one\ntwo\nthree\n"));
  EXPECT_EQ((*log)->Tail(2), "two\nthree\n");
  EXPECT_EQ((*log)->Tail(9), "one\ntwo\nthree\n");
}

TEST(GuestLogTest, AFloodIsLeftInThePipeUntilTheSecondIsOver) {
  auto loop = base::EventLoop::Create();
  ASSERT_TRUE(loop);
  base::UniqueFd write_end;
  auto log = GuestLog::Create(**loop, write_end);
  ASSERT_TRUE(log);
  ASSERT_TRUE(base::SetNonBlocking(write_end.get(), true));
  const std::string line(4096, 'x');
  size_t taken = 0;
  for (int round = 0; round < 1000; ++round) {
    while (base::Write(write_end.get(), std::as_bytes(std::span(line)))) taken += line.size();
    ASSERT_TRUE((*loop)->RunOnce(0));
  }
  EXPECT_LE(taken, GuestLog::kBytesPerSecond + 2 * 65536 + 8192);
}

}  // namespace
}  // namespace msb::sandbox
