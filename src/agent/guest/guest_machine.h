// GuestMachine: the machine whose PID 1 we are: mounts, cgroups, power.
//
// Owned by main; one thread, on its event loop. Nothing of the workload runs before Configure has
// returned, so the set-up meets a hostile image, but no race: every path of the image is looked up
// with the image as the root directory, so no link in it leads out.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "src/agent/guest/machine.h"
#include "src/base/event_loop.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class GuestMachine : public Machine {
 public:
  explicit GuestMachine(base::EventLoop& loop) : loop_(loop) {}

  // What the kernel leaves to init: /dev, standard descriptors, limits. Before anything else.
  static base::Status Prepare();

  base::Status Configure(const agent::Configure& configure) override;
  int workload_cgroup() const override { return cgroup_.get(); }
  uint64_t OutOfMemoryKills() override;
  void KillWorkload(std::function<void()> gone) override;
  base::Status SettleDisks() override;
  void PowerOff() override;

 private:
  base::Status MakeCgroup();
  base::Status SetIdentity(const agent::Configure& configure);

  base::EventLoop& loop_;
  base::UniqueFd workload_;       // directory of the cgroup above all workloads
  base::UniqueFd cgroup_;         // directory of the one that new processes join
  base::UniqueFd memory_events_;  // its memory.events
  base::UniqueFd cgroup_events_;  // its cgroup.events
  base::Watch events_watch_;
  std::function<void()> gone_;
  base::UniqueFd upper_;  // root of the writable file system
  bool durable_ = false;
};

}  // namespace msb::agent
