// Launch: starts a sandbox's monitor and holds its lease. The starter's side of
// src/sandbox/protocol.h.
//
// A Lease is owned by whoever started the sandbox. When it is closed, or its owner dies, the
// sandbox ends; a detached one whose program was started goes on. Single thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
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
    // Last call. A monitor that died without a word gives kVmmEnded with a message that says so.
    std::function<void(const Ended&)> on_ended;
  };

  // Starts msb-monitor (a process of its own session, no child of the caller) and sends it `spec`;
  // the descriptors are duplicated. Returns without waiting for the guest.
  static base::Result<std::unique_ptr<Lease>> Start(base::EventLoop& loop, const SandboxSpec& spec,
                                                    const std::vector<int>& fds,
                                                    Callbacks callbacks);

  // Asks for the end; on_ended follows.
  void Stop(uint32_t grace_ms);

 private:
  Lease() = default;
  void OnMessage(const FromMonitor& message);
  void Finish(const Ended& ended);
  void Reap();  // the monitor, whose lease is closed

  pid_t monitor_ = -1;
  std::unique_ptr<MonitorSocket> socket_;
  Callbacks callbacks_;
};

}  // namespace msb::sandbox
