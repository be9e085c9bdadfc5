// Machine: what the server asks of the machine it is PID 1 of. The real one mounts, kills cgroups
// and powers off (guest_machine.h); tests have one that does none of it. One thread.
#pragma once

#include <cstdint>
#include <functional>

#include "src/agent/protocol.h"
#include "src/base/result.h"

namespace msb::agent {

class Machine {
 public:
  virtual ~Machine() = default;

  // Builds the root and enters it. Called once; the error names the step.
  virtual base::Status Configure(const agent::Configure& configure) = 0;
  // The cgroup new processes belong to: a directory, or -1 for the caller's own.
  virtual int workload_cgroup() const = 0;
  // How many processes of the workload the kernel has killed for lack of memory.
  virtual uint64_t OutOfMemoryKills() = 0;
  // SIGKILL to everything below the workload's cgroup; `gone` is called, later, when nothing is
  // left. Dropping the machine drops the call.
  virtual void KillWorkload(std::function<void()> gone) = 0;
  // Everything written is on the disks, and nothing more can be.
  virtual base::Status SettleDisks() = 0;
  virtual void PowerOff() = 0;
};

}  // namespace msb::agent
