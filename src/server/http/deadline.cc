#include "src/server/http/deadline.h"

#include <utility>

namespace msb::server::http {

Deadline::Deadline(boost::asio::any_io_executor executor, std::function<void()> on_reached)
    : state_(std::make_shared<State>(boost::asio::steady_timer(std::move(executor)),
                                     std::move(on_reached))) {}

Deadline::~Deadline() {
  Clear();
  state_->timer.cancel();
}

void Deadline::Set(Clock::time_point when) {
  state_->wanted = when;
  if (when < state_->armed) Arm(state_);
}

void Deadline::Clear() { state_->wanted = Clock::time_point::max(); }

void Deadline::Arm(const std::shared_ptr<State>& state) {
  state->armed = state->wanted;
  state->timer.expires_at(state->armed);  // an earlier wait ends with an error
  state->timer.async_wait([state](boost::system::error_code error) {
    if (error) return;
    state->armed = Clock::time_point::max();
    if (state->wanted == Clock::time_point::max()) return;
    if (state->wanted > Clock::now()) return Arm(state);
    state->wanted = Clock::time_point::max();
    state->on_reached();
  });
}

}  // namespace msb::server::http
