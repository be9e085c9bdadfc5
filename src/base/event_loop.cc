#include "src/base/event_loop.h"

#include <signal.h>
#include <sys/timerfd.h>

#include <array>
#include <utility>

namespace msb::base {

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    Reset();
    loop_ = std::exchange(other.loop_, nullptr);
    fd_ = std::exchange(other.fd_, -1);
    events_ = other.events_;
    id_ = other.id_;
  }
  return *this;
}

void Watch::Reset() {
  if (loop_ != nullptr) std::exchange(loop_, nullptr)->Remove(fd_, id_);
}

void Watch::SetEvents(uint32_t events) {
  CHECK(loop_ != nullptr);
  if (events == events_) return;
  events_ = events;
  loop_->Modify(fd_, id_, events);
}

void Timer::Arm(std::chrono::nanoseconds after) {
  CHECK(fd_.valid());
  const int64_t nanos = std::max<int64_t>(after.count(), 1);
  itimerspec spec = {};
  spec.it_value = {nanos / 1'000'000'000, nanos % 1'000'000'000};
  CHECK(::timerfd_settime(fd_.get(), 0, &spec, nullptr) == 0);
  *armed_ = true;
}

void Timer::Disarm() {
  if (!armed()) return;
  const itimerspec spec = {};
  CHECK(::timerfd_settime(fd_.get(), 0, &spec, nullptr) == 0);
  *armed_ = false;
}

Result<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return FailErrno("cannot create an epoll instance");
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll)));
}

Result<Watch> EventLoop::Add(int fd, uint32_t events, Handler handler) {
  const uint64_t id = next_id_++;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) {
    return FailErrno("cannot watch descriptor {}", fd);
  }
  handlers_.emplace(id, std::make_shared<Handler>(std::move(handler)));
  Watch watch;
  watch.loop_ = this;
  watch.fd_ = fd;
  watch.events_ = events;
  watch.id_ = id;
  return watch;
}

Result<Timer> EventLoop::AddTimer(std::function<void()> handler, TimerClock clock) {
  Timer timer;
  timer.fd_.Reset(::timerfd_create(clock == TimerClock::kRunning ? CLOCK_MONOTONIC : CLOCK_BOOTTIME,
                                   TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.fd_) return FailErrno("cannot create a timer");
  timer.armed_ = std::make_unique<bool>(false);
  timer.watch_ = TRY(Add(
      timer.fd_.get(), EPOLLIN,
      [fd = timer.fd_.get(), armed = timer.armed_.get(), handler = std::move(handler)](uint32_t) {
        uint64_t expirations;
        // Re-armed since the event was fetched: nothing to read yet.
        if (::read(fd, &expirations, sizeof expirations) < 0) return;
        *armed = false;
        handler();
      }));
  return timer;
}

Result<SignalWatch> EventLoop::AddSignals(std::initializer_list<int> signals,
                                          SignalHandler handler) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) return FailErrno("cannot block signals");
  SignalWatch watch;
  watch.fd_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!watch.fd_) return FailErrno("cannot create a signal descriptor");
  watch.watch_ = TRY(
      Add(watch.fd_.get(), EPOLLIN, [fd = watch.fd_.get(), handler = std::move(handler)](uint32_t) {
        signalfd_siginfo info;
        if (::read(fd, &info, sizeof info) == sizeof info) handler(info);
      }));
  return watch;
}

Status EventLoop::Run() {
  while (!stopped_) TRY(RunOnce(-1));
  return {};
}

Result<bool> EventLoop::RunOnce(int timeout_ms) {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 deferred_.empty() ? timeout_ms : 0);
  if (count < 0 && errno != EINTR) return FailErrno("epoll_wait failed");
  in_batch_ = true;
  for (int i = 0; i < count && !stopped_; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    const uint64_t id = event.data.u64;  // a copy: the struct is packed
    const auto found = handlers_.find(id);
    if (found == handlers_.end()) continue;  // removed by an earlier handler of this batch
    const std::shared_ptr<Handler> handler = found->second;
    (*handler)(event.events);
  }
  const bool handled = count > 0 || !deferred_.empty();
  RunDeferred();
  in_batch_ = false;
  if (!deferred_.empty() && defer_hook_) defer_hook_();
  return handled;
}

void EventLoop::Defer(std::function<void()> task) {
  deferred_.push_back(std::move(task));
  if (deferred_.size() == 1 && !in_batch_ && defer_hook_) defer_hook_();
}

void EventLoop::RunDeferred() {
  for (const auto& task : std::exchange(deferred_, {})) task();
}

void EventLoop::Remove(int fd, uint64_t id) {
  handlers_.erase(id);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::Modify(int fd, uint64_t id, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id;
  CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

}  // namespace msb::base
