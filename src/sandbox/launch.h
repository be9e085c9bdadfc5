// Launch: starts a sandbox's monitor and holds its lease. The starter's side of
// src/sandbox/protocol.h.
//
// A Lease is owned by whoever started the sandbox. When it is closed, or its owner dies, the
// sandbox ends; a detached one that was started goes on. Single thread, on its event loop, which it
// never holds up; any number of leases at once.
//
// The monitor is a child of its starter. A Lease reaps the monitor whose end it sees; whoever lets
// go of leases before that and lives on ignores SIGCHLD, so that no zombies stay.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/monitor_socket.h"
#include "src/sandbox/protocol.h"

namespace msb::sandbox {

class Lease {
 public:
  struct Callbacks {
    std::function<void(const Running&)> on_running;                 // may be empty
    std::function<void(const ProgramStarted&)> on_program_started;  // detached only
    std::function<void(const std::string&)> on_notice;              // may be empty
    std::function<void(EndReason)> on_stopping;                     // may be empty
    // Last call: nothing of the sandbox is left, nor of its monitor. It may destroy the lease. A
    // monitor that died without a word gives kVmmEnded with a message that says so.
    std::function<void(const Ended&)> on_ended;
  };

  // Starts msb-monitor (in a session of its own) and sends it `spec`;
  // the descriptors are duplicated. Returns without waiting for the guest.
  static base::Result<std::unique_ptr<Lease>> Start(base::EventLoop& loop, const SandboxSpec& spec,
                                                    const std::vector<int>& fds,
                                                    Callbacks callbacks);

  // Asks for the end; on_ended follows.
  void Stop(uint32_t grace_ms);

 private:
  explicit Lease(base::EventLoop& loop) : loop_(loop) {}
  void OnMessage(const FromMonitor& message);
  void Finish(Ended ended);
  void AwaitMonitor();
  void Reap();

  base::EventLoop& loop_;
  base::UniqueFd monitor_;  // a pid descriptor
  base::Watch monitor_watch_;
  std::unique_ptr<MonitorSocket> socket_;
  std::optional<Ended> last_word_;
  Callbacks callbacks_;
};

}  // namespace msb::sandbox
