#include "src/sandbox/disk_lock.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/sys.h"
#include "src/sandbox/testing.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;

class DiskLockTest : public HomeTest {
 protected:
  void SetUp() override {
    HomeTest::SetUp();
    path_ = home_ + "/disk";
  }
  base::UniqueFd Open() const { return *base::OpenFile(path_, O_RDWR | O_CREAT, 0600); }

  State StateOnDisk() const {
    State state = LivingState();
    state.disk_path = path_;
    return state;
  }

  std::string path_;
};

TEST_F(DiskLockTest, GoesOnAsLongAsTheDescriptionIsOpenAnywhere) {
  base::UniqueFd first = Open();
  ASSERT_TRUE(LockDisk(first.get(), path_));
  const base::UniqueFd second = Open();
  EXPECT_EQ(LockDisk(second.get(), path_).error().code(), ErrorCode::kBusy);
  base::UniqueFd inherited = *base::Duplicate(first.get());
  first.Reset();
  EXPECT_EQ(LockDisk(second.get(), path_).error().code(), ErrorCode::kBusy);
  inherited.Reset();
  EXPECT_TRUE(LockDisk(second.get(), path_));
}

TEST_F(DiskLockTest, ARefusalNamesTheSandboxThatHasIt) {
  const base::UniqueFd holder = Open();
  ASSERT_TRUE(LockDisk(holder.get(), path_));
  const auto run = RunDirectory::Create(id_, name_);
  ASSERT_TRUE(run->WriteState(StateOnDisk()));
  const base::UniqueFd other = Open();
  const auto refused = LockDisk(other.get(), path_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kBusy);
  EXPECT_NE(refused.error().message().find("sandbox " + name_), std::string::npos);
}

TEST_F(DiskLockTest, WhatAKilledMonitorLeftIsEndedAndItsLockTaken) {
  const base::Pair ready = *base::MakePipe();
  const pid_t leftover = ::fork();
  if (leftover == 0) {
    const base::UniqueFd held = Open();
    if (!LockDisk(held.get(), path_)) ::_exit(1);
    (void)base::WriteFull(ready.second.get(), "x");
    for (;;) ::pause();
  }
  std::byte byte;
  ASSERT_TRUE(base::ReadFull(ready.first.get(), std::span(&byte, 1)));
  State state = StateOnDisk();
  state.monitor.start_time += 1;  // is nobody: it was killed
  state.vmm = DescribeProcess(leftover);
  {
    RunDirectory run = *RunDirectory::Create(id_, name_);
    ASSERT_TRUE(run.WriteState(state));
    run.Keep();
  }
  const base::UniqueFd next = Open();
  const auto taken = LockDisk(next.get(), path_);
  EXPECT_TRUE(taken) << taken.error().message();
  int status = 0;
  ASSERT_EQ(::waitpid(leftover, &status, 0), leftover);
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_F(DiskLockTest, AFileThatWasReplacedMeanwhileIsRefused) {
  const base::UniqueFd old = Open();
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  EXPECT_EQ(LockDisk(old.get(), path_).error().code(), ErrorCode::kBusy);
  const base::UniqueFd current = Open();
  EXPECT_EQ(LockDisk(old.get(), path_).error().code(), ErrorCode::kBusy);
  EXPECT_TRUE(LockDisk(current.get(), path_));
}

}  // namespace
}  // namespace msb::sandbox
