// EventStream: a call's events as server-sent events (HTML standard, "Server-sent events"). A quiet
// one says so now and then, so that nobody on the way closes it. Owned by the call; one thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "src/server/http/exchange.h"
#include "src/server/lock.h"
#include "src/server/loop.h"
#include "src/server/service.h"

namespace msb::server::rpc {

class EventStream : public Sink {
 public:
  static constexpr std::chrono::seconds kQuiet{15};

  EventStream(Loop& loop, http::Exchange& exchange);
  ~EventStream() override;

  Async<base::Status> Begin();
  Async<base::Status> Put(StreamEvent event) override;
  Async<base::Status> Begun() override;
  // The last event.
  Async<base::Status> End(std::string_view name, std::string data);

 private:
  struct State;
  static Async<void> KeepAlive(std::shared_ptr<State> state);
  Async<base::Status> Write(std::string_view name, std::string data);

  Loop& loop_;
  std::shared_ptr<State> state_;
};

// {"stream":…} of whichever kind it is.
base::json::Value DataOf(const StreamEvent& event);

}  // namespace msb::server::rpc
