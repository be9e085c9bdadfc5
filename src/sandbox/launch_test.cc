#include "src/sandbox/launch.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include "src/base/event_loop.h"
#include "src/sandbox/testing.h"

namespace msb::sandbox {
namespace {

// With a real monitor, whose start fails before it needs a guest.
class LaunchTest : public HomeTest {
 protected:
  std::optional<Ended> Launch(const SandboxSpec& spec) {
    auto loop = base::EventLoop::Create().value();
    std::optional<Ended> ended;
    Lease::Callbacks callbacks;
    callbacks.on_ended = [&](const Ended& end) {
      ended = end;
      loop->Stop();
    };
    auto lease = Lease::Start(*loop, spec, {}, std::move(callbacks));
    EXPECT_TRUE(lease) << lease.error().message();
    if (lease) EXPECT_TRUE(loop->Run());
    return ended;
  }

  SandboxSpec Spec() const {
    SandboxSpec spec;
    spec.id = base::RandomHex(16);
    spec.name = name_;
    spec.memory_bytes = 128 << 20;
    return spec;
  }
};

TEST_F(LaunchTest, ATakenNameEndsTheStartAndSaysWhatToDo) {
  const auto holder = RunDirectory::Create(id_, name_);
  ASSERT_TRUE(holder);
  ASSERT_TRUE(holder->WriteState(LivingState()));
  const auto ended = Launch(Spec());
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->reason, EndReason::kStartFailed);
  EXPECT_EQ(ended->exit_code, 125);
  EXPECT_NE(ended->message.find("msb stop " + name_), std::string::npos) << ended->message;
}

TEST_F(LaunchTest, ADescriptionLongerThanAPacketArrivesWhole) {
  const auto holder = RunDirectory::Create(id_, name_);
  ASSERT_TRUE(holder->WriteState(LivingState()));
  SandboxSpec spec = Spec();
  spec.defaults.env.assign(2000, base::Bytes(std::string(1000, 'x')));
  const auto ended = Launch(spec);
  ASSERT_TRUE(ended);
  EXPECT_NE(ended->message.find(name_), std::string::npos) << ended->message;
}

TEST_F(LaunchTest, ATooLongDescriptionIsRefusedWithItsLength) {
  SandboxSpec spec = Spec();
  spec.defaults.env.assign(5000, base::Bytes(std::string(1000, 'x')));
  auto loop = base::EventLoop::Create().value();
  const auto lease = Lease::Start(*loop, spec, {}, {});
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code(), base::ErrorCode::kLimit);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a monitor is left";
}

// As a server does.
TEST_F(LaunchTest, ManyAtOnceEndAndLeaveNoZombiesEvenWhereSigchldIsIgnored) {
  const auto holder = RunDirectory::Create(id_, name_);
  ASSERT_TRUE(holder->WriteState(LivingState()));
  for (const auto disposition : {SIG_DFL, SIG_IGN}) {
    ::signal(SIGCHLD, disposition);
    constexpr int kLeases = 20;
    auto loop = base::EventLoop::Create().value();
    std::vector<std::unique_ptr<Lease>> leases;
    int ended = 0;
    for (int i = 0; i < kLeases; ++i) {
      Lease::Callbacks callbacks;
      callbacks.on_ended = [&](const Ended& end) {
        EXPECT_EQ(end.reason, EndReason::kStartFailed);
        if (++ended == kLeases) loop->Stop();
      };
      auto lease = Lease::Start(*loop, Spec(), {}, std::move(callbacks));
      ASSERT_TRUE(lease) << lease.error().message();
      leases.push_back(*std::move(lease));
    }
    ASSERT_TRUE(loop->Run());
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a monitor is left";
  }
  ::signal(SIGCHLD, SIG_DFL);
}

TEST_F(LaunchTest, ALeaseMayGoInItsLastCall) {
  const auto holder = RunDirectory::Create(id_, name_);
  ASSERT_TRUE(holder->WriteState(LivingState()));
  auto loop = base::EventLoop::Create().value();
  std::unique_ptr<Lease> lease;
  Lease::Callbacks callbacks;
  callbacks.on_ended = [&](const Ended&) {
    lease.reset();
    loop->Stop();
  };
  lease = *Lease::Start(*loop, Spec(), {}, std::move(callbacks));
  ASSERT_TRUE(loop->Run());
  EXPECT_EQ(lease, nullptr);
}

TEST_F(LaunchTest, ANameThatIsNoneIsRefused) {
  SandboxSpec spec = Spec();
  spec.name = "../escape";
  const auto ended = Launch(spec);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->reason, EndReason::kStartFailed);
}

}  // namespace
}  // namespace msb::sandbox
