// Loop: the server's one thread: Boost.Asio's io_context, with a base::EventLoop inside it for what
// speaks to monitors and agents. Callbacks of the inner loop may resume coroutines (Event::Set);
// coroutines may call what belongs to the inner loop. What may wait for a disk, or is long, is done
// by a few other threads (Offload).
//
// Owned by main; outlives all that uses it. Errors: kSystem.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <memory>
#include <type_traits>
#include <utility>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/server/async.h"

namespace msb::server {

class Loop {
 public:
  static base::Result<std::unique_ptr<Loop>> Create();
  Loop(const Loop&) = delete;
  ~Loop();

  boost::asio::io_context& io() { return io_; }
  base::EventLoop& events() { return *events_; }
  boost::asio::any_io_executor executor() { return io_.get_executor(); }

  // Runs `task` on its own. An exception in it is a bug of ours and ends the process.
  void Spawn(Async<void> task);

  // What changes sandboxes does not wait for those who only look.
  enum class Lane { kChange, kLook };
  boost::asio::any_io_executor Others(Lane lane) {
    return (lane == Lane::kChange ? changers_ : lookers_).get_executor();
  }
  // Calls `work` on another thread (DoOn).
  template <typename Work>
  Async<std::invoke_result_t<Work>> Offload(Lane lane, Work work) {
    return DoOn(Others(lane), std::move(work));
  }

 private:
  // Disks are waited for, processors are not many.
  static constexpr size_t kChangers = 4;
  static constexpr size_t kLookers = 2;

  explicit Loop(std::unique_ptr<base::EventLoop> events);
  void WaitForEvents();
  void HandleEvents();

  // Outlives the coroutines that io_'s end destroys: what they own has watches in it.
  std::unique_ptr<base::EventLoop> events_;
  boost::asio::io_context io_{1};
  boost::asio::posix::stream_descriptor readable_;
  boost::asio::thread_pool changers_{kChangers};
  boost::asio::thread_pool lookers_{kLookers};
};

}  // namespace msb::server
