#include "src/base/event_loop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "src/base/sys.h"

namespace msb::base {
namespace {

class EventLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = *std::move(loop);
    auto pipe = MakePipe(/*nonblocking=*/true);
    ASSERT_TRUE(pipe);
    pipe_ = *std::move(pipe);
  }
  std::unique_ptr<EventLoop> loop_;
  Pair pipe_;
};

TEST_F(EventLoopTest, CallsTheHandlerOfAReadableDescriptor) {
  int calls = 0;
  auto watch = loop_->Add(pipe_.first.get(), EPOLLIN, [&](uint32_t) { ++calls; });
  ASSERT_TRUE(WriteFull(pipe_.second.get(), "x"));
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, AHandlerMayDestroyItsOwnWatch) {
  int calls = 0;
  Watch watch;
  watch = *loop_->Add(pipe_.first.get(), EPOLLIN, [&](uint32_t) {
    watch.Reset();
    ++calls;
  });
  ASSERT_TRUE(WriteFull(pipe_.second.get(), "x"));
  ASSERT_TRUE(loop_->RunOnce(0));
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, AWatchRemovedByAnotherHandlerOfTheSameBatchIsNotCalled) {
  auto other = MakePipe();
  ASSERT_TRUE(other);
  Watch first, second;
  int calls = 0;
  first = *loop_->Add(pipe_.first.get(), EPOLLIN, [&](uint32_t) {
    second.Reset();
    first.Reset();
    ++calls;
  });
  second = *loop_->Add(other->first.get(), EPOLLIN, [&](uint32_t) {
    first.Reset();
    second.Reset();
    ++calls;
  });
  ASSERT_TRUE(WriteFull(pipe_.second.get(), "x"));
  ASSERT_TRUE(WriteFull(other->second.get(), "x"));
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, NoEventsMeansSilenceUntilTheyAreWantedAgain) {
  int calls = 0;
  auto watch = *loop_->Add(pipe_.first.get(), EPOLLIN, [&](uint32_t) { ++calls; });
  ASSERT_TRUE(WriteFull(pipe_.second.get(), "x"));
  watch.SetEvents(0);
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(calls, 0);
  watch.SetEvents(EPOLLIN);
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, DeferredTasksRunAfterTheBatchAndOnce) {
  std::string order;
  auto watch = *loop_->Add(pipe_.first.get(), EPOLLIN, [&](uint32_t) {
    loop_->Defer([&] { order += 'd'; });
    order += 'h';
    std::byte byte;
    (void)Read(pipe_.first.get(), std::span(&byte, 1));
  });
  ASSERT_TRUE(WriteFull(pipe_.second.get(), "x"));
  ASSERT_TRUE(loop_->RunOnce(0));
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(order, "hd");
}

TEST_F(EventLoopTest, TheHookSpeaksOfTasksThatNoBatchWillRun) {
  int called = 0;
  loop_->SetDeferHook([&] { ++called; });
  loop_->Defer([] {});
  loop_->Defer([] {});
  EXPECT_EQ(called, 1);
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(called, 1);

  // What a handler defers runs in its own batch; what a task defers waits for the next.
  int ran = 0;
  const auto watch = *loop_->Add(pipe_.first.get(), EPOLLIN, [&](uint32_t) {
    std::byte byte;
    (void)Read(pipe_.first.get(), std::span(&byte, 1));
    loop_->Defer([&] {
      ++ran;
      loop_->Defer([&] { ran += 10; });
    });
  });
  ASSERT_TRUE(WriteFull(pipe_.second.get(), "x"));
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(called, 2);
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(ran, 11);
  EXPECT_EQ(called, 2);
}

TEST_F(EventLoopTest, AnotherLoopHearsOfItsEvents) {
  const auto outer = *EventLoop::Create();
  int got = 0;
  const auto watch = *loop_->Add(pipe_.first.get(), EPOLLIN, [&](uint32_t) {
    std::byte byte;
    (void)Read(pipe_.first.get(), std::span(&byte, 1));
    ++got;
  });
  const auto nested =
      *outer->Add(loop_->fd(), EPOLLIN, [&](uint32_t) { ASSERT_TRUE(loop_->RunOnce(0)); });
  EXPECT_FALSE(*outer->RunOnce(0));
  ASSERT_TRUE(WriteFull(pipe_.second.get(), "x"));
  EXPECT_TRUE(*outer->RunOnce(0));
  EXPECT_EQ(got, 1);
}

TEST_F(EventLoopTest, ATimerFiresOnceAndCanBeDisarmed) {
  int fired = 0;
  auto timer = *loop_->AddTimer([&] { ++fired; });
  timer.Arm(std::chrono::nanoseconds(1));
  ASSERT_TRUE(loop_->RunOnce(-1));
  EXPECT_FALSE(timer.armed());
  timer.Arm(std::chrono::hours(1));
  EXPECT_TRUE(timer.armed());
  timer.Disarm();
  ASSERT_TRUE(loop_->RunOnce(0));
  EXPECT_EQ(fired, 1);
}

TEST_F(EventLoopTest, SignalsArriveAsEvents) {
  int got = 0;
  auto watch = *loop_->AddSignals(
      {SIGUSR1}, [&](const signalfd_siginfo& info) { got = static_cast<int>(info.ssi_signo); });
  ::raise(SIGUSR1);
  ASSERT_TRUE(loop_->RunOnce(-1));
  EXPECT_EQ(got, SIGUSR1);
}

TEST_F(EventLoopTest, ARegularFileIsRefusedWithTheKernelsReason) {
  auto file = OpenUnnamed("/tmp");
  ASSERT_TRUE(file);
  const auto watch = loop_->Add(file->get(), EPOLLIN, [](uint32_t) {});
  ASSERT_FALSE(watch);
  EXPECT_EQ(watch.error().sys_errno(), EPERM);
}

}  // namespace
}  // namespace msb::base
