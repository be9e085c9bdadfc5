#include "src/jail/jail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/prctl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "src/base/sys.h"
#include "src/jail/seccomp.h"

namespace msb::jail {
namespace {

// Each test body runs in a child, since Spawn wants a single-threaded caller and since the same
// must hold for root and for an ordinary user.
class JailTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam() && ::geteuid() != 0) GTEST_SKIP() << "not root";
    const auto probe = base::OpenFile(MSB_BUILD_DIR "/libexec/microsandbox/jail_probe", O_RDONLY);
    ASSERT_TRUE(probe) << probe.error().message();
    const auto pipe = base::MakePipe();
    ASSERT_TRUE(pipe);
    pipe_read_ = base::UniqueFd(::dup(pipe->first.get()));
    pipe_write_ = base::UniqueFd(::dup(pipe->second.get()));
    probe_ = base::UniqueFd(::dup(probe->get()));
  }

  JailSpec Spec(std::string probe) {
    JailSpec spec;
    spec.name = "probe";
    spec.executable_fd = probe_.get();
    spec.argv = {"jail_probe", std::move(probe)};
    spec.fds = {{pipe_read_.get(), 7}};
    spec.host_uid = GetParam() ? 54321 : ::geteuid();
    spec.host_gid = GetParam() ? 54321 : ::getegid();
    spec.limits = {{RLIMIT_NOFILE, 64}};
    return spec;
  }

  // Exit code of the probe, or the error's text.
  std::string Run(const JailSpec& spec) {
    auto child = Spawn(spec);
    if (!child) return child.error().message();
    const auto status = base::WaitPidFd(child->pid_fd.get());
    return status ? fmt::format("{}", status->ShellCode()) : status.error().message();
  }

  std::string Probe(std::string name) { return Run(Spec(std::move(name))); }

  base::UniqueFd pipe_read_, pipe_write_, probe_;
};

TEST_P(JailTest, RunsAsTheMappedIdentityWithoutAParent) { EXPECT_EQ(Probe("identity"), "0"); }
TEST_P(JailTest, IsTheFirstProcessOfItsNamespace) { EXPECT_EQ(Probe("first_process"), "0"); }
TEST_P(JailTest, HasNoCapabilitiesAndCannotMount) { EXPECT_EQ(Probe("no_capabilities"), "0"); }
TEST_P(JailTest, HoldsOnlyGrantedDescriptors) { EXPECT_EQ(Probe("only_granted"), "0"); }
TEST_P(JailTest, SeesNoFileOfTheHost) { EXPECT_EQ(Probe("no_files"), "0"); }
TEST_P(JailTest, CannotWriteToItsRoot) { EXPECT_EQ(Probe("read_only"), "0"); }
TEST_P(JailTest, CannotGainPrivileges) { EXPECT_EQ(Probe("no_new_privileges"), "0"); }
TEST_P(JailTest, StartsWithDefaultSignals) {
  ::signal(SIGTERM, SIG_IGN);
  EXPECT_EQ(Probe("signals_default"), "0");
  ::signal(SIGTERM, SIG_DFL);
}
TEST_P(JailTest, IsUnderItsResourceLimits) { EXPECT_EQ(Probe("limited"), "0"); }

// What Run answers in a process with this limit.
std::string InLimitedProcess(int resource, rlim_t value, const std::function<std::string()>& run) {
  const auto pipe = base::MakePipe();
  const pid_t limited = ::fork();
  if (limited == 0) {
    const rlimit low = {value, value};
    ::setrlimit(static_cast<__rlimit_resource_t>(resource), &low);
    (void)base::WriteFull(pipe->second.get(), run());
    ::_exit(0);
  }
  ::waitpid(limited, nullptr, 0);
  std::string answer(1000, '\0');
  answer.resize(*base::Read(pipe->first.get(), std::as_writable_bytes(std::span(answer))));
  return answer;
}

TEST_P(JailTest, NamesTheLimitThatTheHostDoesNotAllow) {
  JailSpec spec = Spec("identity");
  spec.limits = {{RLIMIT_SIGPENDING, 200}};
  const std::string error = InLimitedProcess(RLIMIT_SIGPENDING, 100, [&] { return Run(spec); });
  EXPECT_NE(error.find("RLIMIT_SIGPENDING has to be 200, but this process may have 100 at most"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("ulimit -H -i"), std::string::npos) << error;
}

TEST_P(JailTest, NamesTheLimitOfOpenFilesWhenItIsTooLowForAJail) {
  JailSpec spec = Spec("identity");
  const std::string error = InLimitedProcess(RLIMIT_NOFILE, 100, [&] { return Run(spec); });
  EXPECT_NE(error.find("RLIMIT_NOFILE"), std::string::npos) << error;
  EXPECT_NE(error.find("ulimit -n"), std::string::npos) << error;
}

TEST_P(JailTest, TakesALowerLimitWhereItOnlyBoundsWhatMayGoWrong) {
  JailSpec spec = Spec("identity");
  const auto run = [&] {
    spec.limits = {AtMost(RLIMIT_SIGPENDING, 200)};
    return Run(spec);
  };
  EXPECT_EQ(InLimitedProcess(RLIMIT_SIGPENDING, 100, run), "0");
}

TEST_P(JailTest, FindsWhatPopulateCreated) {
  JailSpec spec = Spec("populated");
  spec.root.populate = []() -> base::Status {
    TRY(base::OpenFile("given", O_CREAT | O_WRONLY, 0600));
    return {};
  };
  EXPECT_EQ(Run(spec), "0");
}

TEST_P(JailTest, ReportsWhatPopulateFailedAt) {
  JailSpec spec = Spec("populated");
  spec.root.populate = [] {
    return base::Status(base::Fail(base::ErrorCode::kInvalid, "no luck"));
  };
  EXPECT_EQ(Run(spec), "jail of probe: no luck");
}

TEST_P(JailTest, ReportsAnExecutableThatCannotBeExecuted) {
  JailSpec spec = Spec("identity");
  spec.executable_fd = pipe_read_.get();
  EXPECT_EQ(Run(spec), "jail of probe: cannot execute: Permission denied");
}

TEST_P(JailTest, ObeysItsSystemCallList) {
  JailSpec spec = Spec("sockets_refused");
  std::vector<Allowed> list;
  for (int call = 0; call < 450; ++call) {
    if (call != SYS_socket) list.push_back({call, "test"});
  }
  const auto program = CompileSeccomp(list, Otherwise::kErrno);
  ASSERT_TRUE(program) << program.error().message();
  spec.seccomp = *program;
  EXPECT_EQ(Run(spec), "0");
}

TEST_P(JailTest, DiesWithTheProcessThatStartedIt) {
  auto report = base::MakePipe();
  ASSERT_TRUE(report);
  const pid_t starter = ::fork();
  if (starter == 0) {
    auto child = Spawn(Spec("waits"));
    const pid_t pid = child ? child->pid : -1;
    (void)base::WriteFull(report->second.get(), std::as_bytes(std::span(&pid, 1)));
    ::pause();
  }
  pid_t jailed = -1;
  ASSERT_TRUE(base::ReadFull(report->first.get(), std::as_writable_bytes(std::span(&jailed, 1))));
  ASSERT_GT(jailed, 0);
  auto pid_fd = base::PidFdOpen(jailed);
  ASSERT_TRUE(pid_fd);
  ::kill(starter, SIGKILL);
  ::waitpid(starter, nullptr, 0);
  pollfd dead = {pid_fd->get(), POLLIN, 0};
  EXPECT_EQ(::poll(&dead, 1, 10'000), 1);
}

INSTANTIATE_TEST_SUITE_P(Identities, JailTest, testing::Values(false, true),
                         [](const auto& info) { return info.param ? "RootsSlot" : "OwnUser"; });

}  // namespace
}  // namespace msb::jail
