#include "src/server/loop.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <exception>

#include "src/base/log.h"

namespace msb::server {

Loop::Loop(std::unique_ptr<base::EventLoop> events)
    : events_(std::move(events)), readable_(io_, events_->fd()) {
  events_->SetDeferHook([this] { boost::asio::post(io_, [this] { HandleEvents(); }); });
  WaitForEvents();
}

// The descriptor is the inner loop's, which closes it.
Loop::~Loop() { readable_.release(); }

base::Result<std::unique_ptr<Loop>> Loop::Create() {
  return std::unique_ptr<Loop>(new Loop(TRY(base::EventLoop::Create())));
}

void Loop::Spawn(Async<void> task) {
  boost::asio::co_spawn(io_, std::move(task), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
}

void Loop::WaitForEvents() {
  readable_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                       [this](const boost::system::error_code& error) {
                         if (error) return;
                         HandleEvents();
                         WaitForEvents();
                       });
}

// One batch at a time, so that the outer loop's handlers have their turn.
void Loop::HandleEvents() {
  const auto handled = events_->RunOnce(0);
  if (!handled) LOG(kError, "the event loop failed: {}", handled.error().message());
}

}  // namespace msb::server
