// Deadline: a point in time after which something is done, moved often and reached seldom.
//
// Moving it forward, or taking it back, touches no timer: the timer that is armed looks, when it
// fires, whether the deadline is still the one it was armed for. One thread.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>

#include "src/server/async.h"

namespace msb::server::http {

class Deadline {
 public:
  // `on_reached` is not called after the Deadline's end.
  Deadline(boost::asio::any_io_executor executor, std::function<void()> on_reached);
  ~Deadline();
  Deadline(const Deadline&) = delete;

  void Set(Clock::time_point when);
  void Clear();

 private:
  struct State {
    boost::asio::steady_timer timer;
    std::function<void()> on_reached;
    Clock::time_point wanted = Clock::time_point::max();
    Clock::time_point armed = Clock::time_point::max();
  };
  static void Arm(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;
};

}  // namespace msb::server::http
