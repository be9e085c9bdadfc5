#include "src/server/lock.h"

#include <algorithm>

namespace msb::server {

Async<Lock::Guard> Lock::Acquire(Cancellation& cancellation) {
  if (!held_) {
    held_ = true;
    co_return Guard(this);
  }
  Event mine(executor_);
  const auto place = waiting_.insert(waiting_.end(), &mine);
  {
    const Cancellation::Watch watch(cancellation, [&] { mine.Set(); });
    co_await mine.Wait();
  }
  // Whoever releases takes the event out of the list: the lock is then ours, cancelled or not.
  const bool ours = std::find(waiting_.begin(), waiting_.end(), &mine) == waiting_.end();
  if (ours) co_return Guard(this);
  waiting_.erase(place);
  co_return Guard();
}

void Lock::Release() {
  if (waiting_.empty()) {
    held_ = false;
    return;
  }
  Event* next = waiting_.front();
  waiting_.pop_front();
  next->Set();
}

}  // namespace msb::server
