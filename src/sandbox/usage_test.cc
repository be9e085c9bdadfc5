#include "src/sandbox/usage.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>

#include "src/base/sys.h"
#include "src/sandbox/testing.h"

namespace msb::sandbox {
namespace {

class UsageTest : public HomeTest {
 protected:
  // A process that has children as the guest's jail does, each of which has used some time.
  // `Run` gets the process as far as it says so and then waits.
  pid_t Fork(const std::function<void()>& run) {
    const base::Pair ready = *base::MakePipe();
    const pid_t child = ::fork();
    if (child == 0) {
      run();
      (void)base::WriteFull(ready.second.get(), "x");
      for (;;) ::pause();
    }
    std::byte byte;
    EXPECT_TRUE(base::ReadFull(ready.first.get(), std::span(&byte, 1)));
    return child;
  }

  static void Spend(clock_t ticks_of_10_ms) {
    const clock_t begin = std::clock();
    while (std::clock() - begin < ticks_of_10_ms * (CLOCKS_PER_SEC / 100)) {
    }
  }

  static void End(pid_t child) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
};

TEST_F(UsageTest, CountsProcessesTheirChildrenAndWhatHasEndedOfThem) {
  State state = LivingState();
  const auto before = ReadUsage(state);
  ASSERT_TRUE(before);
  pid_t kernel = -1, process = -1;
  const base::Pair pids = *base::MakePipe();
  const pid_t init = Fork([&] {
    const pid_t inner = Fork([&] {
      const pid_t dead = ::fork();
      if (dead == 0) {
        Spend(20);
        ::_exit(0);
      }
      ::waitpid(dead, nullptr, 0);
      const pid_t alive = Fork([] { Spend(20); });
      (void)base::WriteFull(pids.second.get(), std::as_bytes(std::span(&alive, 1)));
    });
    (void)base::WriteFull(pids.second.get(), std::as_bytes(std::span(&inner, 1)));
  });
  ASSERT_TRUE(base::ReadFull(pids.first.get(), std::as_writable_bytes(std::span(&process, 1))));
  ASSERT_TRUE(base::ReadFull(pids.first.get(), std::as_writable_bytes(std::span(&kernel, 1))));
  state.guest = DescribeProcess(init);
  const auto after = ReadUsage(state);
  ASSERT_TRUE(after);
  // Twice 200 ms, less what the ticks of a kernel miss.
  EXPECT_GE(after->cpu_us, before->cpu_us + 300'000);
  EXPECT_GT(after->memory_bytes, before->memory_bytes);
  End(init);
  ::kill(kernel, SIGKILL);
  ::kill(process, SIGKILL);
}

TEST_F(UsageTest, AnotherProcessOfTheSameNumberIsNotCounted) {
  State state = LivingState();
  const auto before = ReadUsage(state);
  const pid_t child = Fork([] { Spend(20); });
  state.guest = DescribeProcess(child);
  state.guest.start_time += 1;
  EXPECT_LT(ReadUsage(state)->cpu_us, before->cpu_us + 200'000);
  End(child);
}

TEST_F(UsageTest, OneThatHasEndedUsesNothing) {
  State state = LivingState();
  state.monitor.start_time += 1;
  EXPECT_FALSE(ReadUsage(state));
  state = LivingState();
  state.phase = Phase::kEnded;
  EXPECT_FALSE(ReadUsage(state));
}

TEST_F(UsageTest, OfADiskWhatTheHostStoresCounts) {
  State state = LivingState();
  EXPECT_FALSE(ReadUsage(state)->disk_bytes) << "a temporary one is nobody's to look at";
  state.disk_path = home_ + "/disk";
  const base::UniqueFd disk = *base::OpenFile(state.disk_path, O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::ftruncate(disk.get(), 1 << 30), 0);
  ASSERT_TRUE(base::WriteFull(disk.get(), std::string(1 << 20, 'x')));
  ASSERT_EQ(::fsync(disk.get()), 0);
  const auto bytes = ReadUsage(state)->disk_bytes;
  ASSERT_TRUE(bytes);
  EXPECT_GE(*bytes, uint64_t{1} << 20);
  EXPECT_LT(*bytes, uint64_t{1} << 29);
}

}  // namespace
}  // namespace msb::sandbox
