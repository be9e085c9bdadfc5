// Machine: one guest's devices, as the monitor's Start describes them, and the events that go back.
//
// Owned by main, on the event loop's thread. Everything it needs from the host is in hand once
// Create returns; main then closes the door (seccomp) and calls Serve. Ends the loop when the
// monitor goes away, or with an event when guest or host cannot go on; finished() says which.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/virtio/block/block.h"
#include "src/virtio/vsock/vsock.h"
#include "src/vmm/control.h"
#include "src/vmm/protocol.h"
#include "src/vmm/uml/guest_file.h"
#include "src/vmm/uml/server.h"

namespace msb::vmm {

class Machine final : public uml::BackendEvents, public virtio::vsock::VsockEvents {
 public:
  // `loop` and `control` must outlive the machine. Errors: kInvalid for a Start that contradicts
  // itself or its descriptors.
  static base::Result<std::unique_ptr<Machine>> Create(base::EventLoop& loop, Control& control,
                                                       const Start& start,
                                                       std::vector<base::UniqueFd> fds);
  ~Machine() override;

  // Says that it is ready and runs until the end. An Error: it was not the monitor's going away.
  base::Status Serve();

  void GuestBroken(const std::string& reason) override;
  void AgentListening() override;
  void StreamFailed(uint32_t id, const std::string& reason) override;

 private:
  class DiskEvents final : public virtio::block::BlockEvents {
   public:
    DiskEvents(Machine& machine, uint32_t disk) : machine_(machine), disk_(disk) {}
    void DiskFull(const std::string& message) override;
    void DiskResumed() override;
    void DiskFailed(const std::string& message) override;

   private:
    Machine& machine_;
    const uint32_t disk_;
  };

  Machine(base::EventLoop& loop, Control& control, uint64_t memory_bytes)
      : loop_(loop), control_(control), guest_file_(memory_bytes) {}
  base::Status AddDisk(const Disk& disk,
                       std::span<const std::shared_ptr<const base::UniqueFd>> fds);
  base::Status AddVsock(uint32_t guest_cid);
  base::Status AddServer(std::string name, virtio::Device& device, base::UniqueFd listener);
  void OnControl();
  base::Status HandleRequest();
  base::Status OpenStream(const struct OpenStream& request, std::vector<base::UniqueFd> fds);
  void Tell(const FromVmm& event);
  void End(base::Error why);

  base::EventLoop& loop_;
  Control& control_;
  // In the order of dependence: memory outlives devices, devices outlive their servers.
  uml::GuestFile guest_file_;
  std::vector<std::unique_ptr<DiskEvents>> disk_events_;
  std::vector<std::unique_ptr<virtio::block::BlockDevice>> disks_;
  std::unique_ptr<virtio::vsock::VsockDevice> vsock_;
  std::vector<std::unique_ptr<uml::Server>> servers_;
  base::Watch control_watch_;
  bool agent_told_ = false;
  base::Status result_;
};

}  // namespace msb::vmm
