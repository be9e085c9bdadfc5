// EventLoop: epoll(7) with callbacks, timers and signals. One thread: everything here, the handlers
// included, runs on the thread that calls Run.
//
// A Watch, Timer or SignalWatch is owned by whoever wants the events and must not outlive its loop;
// when it is destroyed, no further call of its handler happens, not even for events already
// fetched. A handler may destroy anything, its own watch included.
#pragma once

#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::base {

class EventLoop;

// Interest in one descriptor (not owned: keep it open as long as the watch lives).
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept { *this = std::move(other); }
  Watch& operator=(Watch&& other) noexcept;
  ~Watch() { Reset(); }
  void Reset();
  // `events`: EPOLLIN, EPOLLOUT, EPOLLET … ; 0 keeps the registration but reports only errors,
  // hang-up.
  void SetEvents(uint32_t events);
  bool active() const { return loop_ != nullptr; }

 private:
  friend class EventLoop;
  EventLoop* loop_ = nullptr;
  int fd_ = -1;
  uint32_t events_ = 0;
  uint64_t id_ = 0;
};

// Whether the time that the host spends suspended counts: for limits that a user sets it does; a
// deadline for somebody who was suspended as well must not.
enum class TimerClock { kRunning, kWithSuspend };  // CLOCK_MONOTONIC, CLOCK_BOOTTIME

// One-shot timer.
class Timer {
 public:
  Timer() = default;
  void Arm(std::chrono::nanoseconds
               after);  // replaces an earlier deadline; 0 or less: as soon as possible
  void Disarm();
  bool armed() const { return armed_ != nullptr && *armed_; }

 private:
  friend class EventLoop;
  UniqueFd fd_;
  std::unique_ptr<bool> armed_;
  Watch watch_;
};

// Blocks the signals in this thread and delivers them to the handler. Threads started later
// inherit.
class SignalWatch {
 public:
  SignalWatch() = default;

 private:
  friend class EventLoop;
  UniqueFd fd_;
  Watch watch_;
};

class EventLoop {
 public:
  using Handler = std::function<void(uint32_t events)>;
  using SignalHandler = std::function<void(const signalfd_siginfo&)>;

  static Result<std::unique_ptr<EventLoop>> Create();
  EventLoop(const EventLoop&) = delete;

  // Fails with EPERM for descriptors that epoll cannot watch (regular files).
  Result<Watch> Add(int fd, uint32_t events, Handler handler);
  Result<Timer> AddTimer(std::function<void()> handler, TimerClock clock = TimerClock::kRunning);
  Result<SignalWatch> AddSignals(std::initializer_list<int> signals, SignalHandler handler);

  // Runs once all events of the current batch are handled (or on the next batch, from outside Run):
  // where a device gathers its notifications. Must not outlive what it captures.
  void Defer(std::function<void()> task);

  // For a loop that runs inside another one, which waits for this one's descriptor to be readable
  // and then calls RunOnce(0). The descriptor says nothing of deferred tasks: the hook does. It is
  // called whenever tasks begin to wait for a batch that nothing else announces: by the first Defer
  // outside of a batch, and at the end of a batch whose tasks deferred more.
  int fd() const { return epoll_.get(); }
  void SetDeferHook(std::function<void()> hook) { defer_hook_ = std::move(hook); }

  Status Run();  // until Stop
  // One batch; waits at most `timeout_ms` (-1: for ever). True if something was handled.
  Result<bool> RunOnce(int timeout_ms);
  void Stop() { stopped_ = true; }

 private:
  friend class Watch;
  explicit EventLoop(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  void Remove(int fd, uint64_t id);
  void Modify(int fd, uint64_t id, uint32_t events);
  void RunDeferred();

  UniqueFd epoll_;
  uint64_t next_id_ = 1;
  // Shared, so that a handler which removes its own watch is not destroyed while it runs.
  std::unordered_map<uint64_t, std::shared_ptr<Handler>> handlers_;
  std::vector<std::function<void()>> deferred_;
  std::function<void()> defer_hook_;
  bool in_batch_ = false;
  bool stopped_ = false;
};

}  // namespace msb::base
