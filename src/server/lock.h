// Lock: one coroutine at a time, the others in the order of their coming. One thread.
#pragma once

#include <list>
#include <utility>

#include "src/server/async.h"

namespace msb::server {

class Lock {
 public:
  explicit Lock(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Lock(const Lock&) = delete;

  class Guard {
   public:
    Guard() = default;
    explicit Guard(Lock* lock) : lock_(lock) {}
    Guard(Guard&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
    Guard& operator=(Guard&& other) noexcept {
      std::swap(lock_, other.lock_);
      return *this;
    }
    ~Guard() {
      if (lock_ != nullptr) lock_->Release();
    }
    explicit operator bool() const { return lock_ != nullptr; }

   private:
    Lock* lock_ = nullptr;
  };

  // An empty guard: the call was cancelled first.
  Async<Guard> Acquire(Cancellation& cancellation);
  bool held() const { return held_; }

 private:
  void Release();

  boost::asio::any_io_executor executor_;
  bool held_ = false;
  std::list<Event*> waiting_;
};

}  // namespace msb::server
