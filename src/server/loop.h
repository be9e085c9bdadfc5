// Loop: the server's one thread: Boost.Asio's io_context, with a base::EventLoop inside it for what
// speaks to monitors and agents. Callbacks of the inner loop may resume coroutines (Event::Set);
// coroutines may call what belongs to the inner loop.
//
// Owned by main; outlives all that uses it. Errors: kSystem.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <memory>

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

 private:
  explicit Loop(std::unique_ptr<base::EventLoop> events);
  void WaitForEvents();
  void HandleEvents();

  // Outlives the coroutines that io_'s end destroys: what they own has watches in it.
  std::unique_ptr<base::EventLoop> events_;
  boost::asio::io_context io_{1};
  boost::asio::posix::stream_descriptor readable_;
};

}  // namespace msb::server
