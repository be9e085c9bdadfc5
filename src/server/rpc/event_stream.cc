#include "src/server/rpc/event_stream.h"

#include "src/base/json.h"

namespace msb::server::rpc {

// Outlives the stream until its keeper has noticed its end.
struct EventStream::State {
  State(Loop& loop, http::Exchange& over)
      : exchange(&over), lock(loop.executor()), ended(loop.executor()) {}
  http::Exchange* exchange;  // none: the stream has ended
  Lock lock;                 // one write at a time
  Event ended;
  Clock::time_point last = Clock::now();
  Cancellation never;
};

EventStream::EventStream(Loop& loop, http::Exchange& exchange)
    : loop_(loop), state_(std::make_shared<State>(loop, exchange)) {}

EventStream::~EventStream() {
  state_->exchange = nullptr;
  state_->ended.Set();
}

Async<base::Status> EventStream::Begin() {
  CO_TRY(co_await state_->exchange->BeginStream(200, "text/event-stream", {}, std::nullopt));
  loop_.Spawn(KeepAlive(state_));
  co_return base::Status();
}

Async<void> EventStream::KeepAlive(std::shared_ptr<State> state) {
  while (!co_await state->ended.Wait(state->last + kQuiet)) {
    const Lock::Guard guard = co_await state->lock.Acquire(state->never);
    if (state->exchange == nullptr) co_return;
    if (Clock::now() < state->last + kQuiet) continue;
    state->last = Clock::now();
    // One that has gone is noticed by whoever has something to say.
    (void)co_await state->exchange->Write(": keep-alive\n\n");
  }
}

Async<base::Status> EventStream::Write(std::string_view name, std::string data) {
  const Lock::Guard guard = co_await state_->lock.Acquire(state_->never);
  state_->last = Clock::now();
  co_return co_await state_->exchange->Write(fmt::format("event: {}\ndata: {}\n\n", name, data));
}

Async<base::Status> EventStream::Put(StreamEvent event) {
  co_return co_await Write(NameOf(event), base::json::WriteValue(DataOf(event)));
}

Async<base::Status> EventStream::Begun() {
  const Lock::Guard guard = co_await state_->lock.Acquire(state_->never);
  state_->last = Clock::now();
  co_return co_await state_->exchange->Write(": begun\n\n");
}

Async<base::Status> EventStream::End(std::string_view name, std::string data) {
  CO_TRY(co_await Write(name, std::move(data)));
  co_return co_await state_->exchange->EndStream();
}

base::json::Value DataOf(const StreamEvent& event) {
  return std::visit([](const auto& data) { return base::json::Encode(data); }, event);
}

}  // namespace msb::server::rpc
