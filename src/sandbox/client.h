// Client: a connection to the monitor of a sandbox that runs already, found by its name: for
// streams to its agent, and for its end. As long as it is connected and in use, as it is at first,
// the sandbox is not idle.
//
// Owned by its user; single thread, on its event loop. A callback may destroy it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/catalog.h"
#include "src/sandbox/monitor_socket.h"

namespace msb::sandbox {

class Client {
 public:
  struct Callbacks {  // may be empty
    std::function<void(EndReason)> on_stopping;
    std::function<void()> on_resumed;              // answers Resume
    std::function<void(const Limits&)> on_limits;  // answers SetLimits
    // Last call. A monitor that died without a word gives kVmmEnded.
    std::function<void(const Ended&)> on_ended;
    std::function<void(const agent::Failure&)> on_failure;              // a request was refused
    std::function<void(const agent::Failure&)> on_limits_refused = {};  // else on_failure
  };

  // kNotFound if there is none of that name, kClosed if it has ended, kBusy if its monitor does
  // not accept, kSystem and others if it cannot be reached.
  static base::Result<std::unique_ptr<Client>> Connect(base::EventLoop& loop,
                                                       const std::string& name,
                                                       Callbacks callbacks);
  static base::Result<std::unique_ptr<Client>> Connect(base::EventLoop& loop,
                                                       const FoundSandbox& found,
                                                       Callbacks callbacks);

  // A new stream to the agent, for src/agent/client; it works at once, and ends with the sandbox.
  // `joins`: see protocol.h.
  base::Result<base::UniqueFd> ConnectAgent(bool joins = false);
  base::Status SayReceived();
  // For one who stays connected longer than he uses the sandbox. The time it may be idle begins
  // anew when the last use ends.
  base::Status SetInUse(bool in_use);
  base::Status Stop(uint32_t grace_ms);
  base::Status Resume();
  base::Status SetLimits(const sandbox::SetLimits& limits);

 private:
  explicit Client(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}
  void OnMessage(const FromMonitor& message);

  Callbacks callbacks_;
  std::unique_ptr<MonitorSocket> socket_;
};

}  // namespace msb::sandbox
