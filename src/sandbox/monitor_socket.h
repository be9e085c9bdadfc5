// MonitorSocket: the client's end of a conversation with a sandbox's monitor
// (src/sandbox/protocol.h): what Lease and Client have in common.
//
// Owned by its user, single thread, on its event loop. A handler may destroy it.
#pragma once

#include <functional>
#include <span>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/protocol.h"

namespace msb::sandbox {

class MonitorSocket {
 public:
  // `on_message`: what the monitor said. One that died without a last word, or that sends nonsense,
  // is given an Ended that says so; nothing follows an Ended.
  static base::Result<std::unique_ptr<MonitorSocket>> Create(
      base::EventLoop& loop, base::UniqueFd socket,
      std::function<void(const FromMonitor&)> on_message);

  base::Status Send(const ToMonitor& message, std::span<const int> fds);

 private:
  explicit MonitorSocket(std::function<void(const FromMonitor&)> on_message)
      : on_message_(std::move(on_message)) {}
  base::Status SendLong(const std::string& text, std::span<const int> fds);
  base::Result<std::optional<FromMonitor>> Receive();  // absent: nothing there now
  void OnReadable();
  void End(std::string why);

  base::UniqueFd socket_;
  base::Watch watch_;
  std::function<void(const FromMonitor&)> on_message_;
};

}  // namespace msb::sandbox
