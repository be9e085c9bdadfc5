#include "src/sandbox/pinning.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <span>
#include <thread>

#include "src/base/affinity.h"
#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

// The CPUs of a process's every thread, as /proc has them.
std::vector<std::string> CpusOf(pid_t process) {
  std::vector<std::string> found;
  const auto tasks = base::OpenFile(fmt::format("/proc/{}/task", process), O_RDONLY | O_DIRECTORY);
  if (!tasks) return found;
  const auto threads = base::ListDirectory(tasks->get());
  if (!threads) return found;
  for (const std::string& thread : *threads) {
    const auto status = base::ReadFileAt(tasks->get(), thread + "/status", 65536);
    if (!status) continue;
    const std::string key = "Cpus_allowed_list:\t";
    const size_t at = status->find(key);
    if (at == std::string::npos) continue;
    const size_t begin = at + key.size();
    found.push_back(status->substr(begin, status->find('\n', begin) - begin));
  }
  return found;
}

// A process with a thread, and a child that has a child. Tells their numbers; they stay until
// killed.
[[noreturn]] void BecomeFamily(int report_fd) {
  std::thread([] {
    for (;;) ::pause();
  }).detach();
  if (::fork() == 0) ::fork();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const pid_t self = ::getpid();
  (void)base::WriteFull(report_fd, std::as_bytes(std::span(&self, 1)));
  for (;;) ::pause();
}

TEST(PinningTest, EveryThreadAndDescendantIsMoved) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // so that all of the family can be reaped
  const base::CpuList allowed = *base::AllowedCpus();
  const base::Pair report = *base::MakePipe();
  const pid_t root = ::fork();
  if (root == 0) BecomeFamily(report.second.get());
  std::array<pid_t, 3> family;
  ASSERT_TRUE(base::ReadFull(report.first.get(), std::as_writable_bytes(std::span(family))));
  for (const int cpu : {allowed.front(), allowed.back()}) {
    ASSERT_TRUE(PinProcesses(root, cpu));
    size_t threads = 0;
    for (const pid_t process : family) {
      for (const std::string& cpus : CpusOf(process)) {
        EXPECT_EQ(cpus, std::to_string(cpu));
        ++threads;
      }
    }
    EXPECT_EQ(threads, 4u);
  }
  for (const pid_t process : family) ::kill(process, SIGKILL);
  for (size_t i = 0; i < family.size(); ++i) ::waitpid(-1, nullptr, 0);
}

TEST(PinningTest, AProcessThatHasEndedIsNoError) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(PinProcesses(child, base::AllowedCpus()->front()));
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(PinProcesses(child, base::AllowedCpus()->front()));
}

TEST(PinningTest, ACpuThatIsNotThereIsAnError) {
  const base::Status pinned = PinProcesses(::getpid(), base::kMaxCpus - 1);
  ASSERT_FALSE(pinned);
  EXPECT_EQ(pinned.error().sys_errno(), EINVAL);
}

}  // namespace
}  // namespace msb::sandbox
