#include "src/server/async.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace msb::server {

Clock::time_point DeadlineIn(std::optional<double> seconds) {
  constexpr double kForever_s = 3.2e9;  // what is more could overflow the clock
  if (!seconds || *seconds > kForever_s) return Clock::time_point::max();
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*seconds));
}

void Event::Set() {
  set_ = true;
  for (boost::asio::steady_timer* waiter : waiters_) waiter->cancel();
}

Async<bool> Event::Wait(Clock::time_point deadline) {
  boost::asio::steady_timer timer(executor_, deadline);
  while (!set_ && Clock::now() < deadline) {
    const auto place = waiters_.insert(waiters_.end(), &timer);
    co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    waiters_.erase(place);
  }
  co_return set_;
}

void Cancellation::Cancel(std::string_view why) {
  if (std::exchange(cancelled_, true)) return;
  why_ = why;
  // A handler may end other watches, not its own and no call's as a whole.
  for (const std::function<void()>& handler : handlers_) handler();
}

Cancellation::Watch::Watch(Cancellation& cancellation, std::function<void()> handler)
    : cancellation_(cancellation),
      handler_(cancellation.handlers_.insert(cancellation.handlers_.end(), std::move(handler))) {
  if (cancellation_.cancelled()) (*handler_)();
}

Cancellation::Watch::~Watch() { cancellation_.handlers_.erase(handler_); }

}  // namespace msb::server
