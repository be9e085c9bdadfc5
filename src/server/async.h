// Async: what the server's coroutines share. Boost.Asio, one thread: nothing here is locked.
//
// Coroutines are free or member functions, never lambdas with captures, and take what they keep by
// value. They are not destroyed halfway: whoever wants one to end early cancels it by a
// Cancellation, which it looks at, or by an Event that it waits for.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "src/base/result.h"

namespace msb::server {

template <typename T>
using Async = boost::asio::awaitable<T>;
using Clock = std::chrono::steady_clock;

// Calls `work` on that executor, and returns what it does. It owns what it uses, or uses what any
// thread may: nobody waits for it when the server ends.
template <typename Work>
Async<std::invoke_result_t<Work>> DoOn(boost::asio::any_io_executor executor, Work work) {
  constexpr auto call = [](Work given) -> Async<std::invoke_result_t<Work>> { co_return given(); };
  co_return co_await boost::asio::co_spawn(std::move(executor), call(std::move(work)),
                                           boost::asio::use_awaitable);
}

// So many seconds from now; never, if absent or beyond a century.
Clock::time_point DeadlineIn(std::optional<double> seconds);

// Something that happens once (or again, after Clear), and coroutines that wait for it.
class Event {
 public:
  explicit Event(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Event(const Event&) = delete;

  void Set();
  void Clear() { set_ = false; }
  bool is_set() const { return set_; }
  // False: the deadline passed first.
  Async<bool> Wait(Clock::time_point deadline = Clock::time_point::max());

 private:
  boost::asio::any_io_executor executor_;
  bool set_ = false;
  std::list<boost::asio::steady_timer*> waiters_;
};

// Says to a running call that nobody wants its result any more.
class Cancellation {
 public:
  Cancellation() = default;
  Cancellation(const Cancellation&) = delete;

  // `why`: a constant, for the caller; empty: the client has gone, and needs none.
  void Cancel(std::string_view why = {});
  bool cancelled() const { return cancelled_; }
  std::string_view why() const { return why_; }

  // Calls `handler` once, at Cancel, from there; at once if that has been. For as long as it lives.
  class Watch {
   public:
    Watch(Cancellation& cancellation, std::function<void()> handler);
    ~Watch();
    Watch(const Watch&) = delete;

   private:
    Cancellation& cancellation_;
    std::list<std::function<void()>>::iterator handler_;
  };

 private:
  bool cancelled_ = false;
  std::string_view why_;
  std::list<std::function<void()>> handlers_;
};

}  // namespace msb::server

// In coroutines: CO_TRY(auto x, co_await f()) declares x, the value of a Result, or leaves with its
// Error; CO_TRY(f()) is for a Status.
#define CO_TRY_NAME_(line) co_try_##line
#define CO_TRY_NAME(line) CO_TRY_NAME_(line)
#define CO_TRY_STATUS(expression)                                     \
  if (auto co_try_status = (expression); !co_try_status) [[unlikely]] \
  co_return ::msb::base::Error(std::move(co_try_status).error())
#define CO_TRY_VALUE(declaration, expression)                               \
  auto CO_TRY_NAME(__LINE__) = (expression);                                \
  if (!CO_TRY_NAME(__LINE__)) [[unlikely]]                                  \
    co_return ::msb::base::Error(std::move(CO_TRY_NAME(__LINE__)).error()); \
  declaration = *std::move(CO_TRY_NAME(__LINE__))
#define CO_TRY_CHOOSE(one, two, chosen, ...) chosen
#define CO_TRY(...) CO_TRY_CHOOSE(__VA_ARGS__, CO_TRY_VALUE, CO_TRY_STATUS)(__VA_ARGS__)
