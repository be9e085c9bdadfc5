// VmmProcess: msb-vmm in jail A, and the monitor's conversation with it (src/vmm/protocol.h).
//
// Owned by the monitor, on its event loop. Destroying it closes the conversation, which ends
// msb-vmm; the monitor kills and reaps it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "src/base/event_loop.h"
#include "src/base/log.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/jail/jail.h"
#include "src/vmm/protocol.h"

namespace msb::sandbox {

struct VmmSpec {
  int executable_fd = -1;
  int lock_fd = -1;           // the run lock's open file description: held as long as msb-vmm lives
  int identity_lock_fd = -1;  // likewise
  uid_t host_uid = 0;
  gid_t host_gid = 0;
  uint64_t memory_bytes = 0;
  uint64_t disk_bytes = 0;  // of the writable disk: no file of its can grow beyond
  std::optional<int> cpu;
};

class VmmProcess {
 public:
  static base::Result<std::unique_ptr<VmmProcess>> Start(
      base::EventLoop& loop, const VmmSpec& spec,
      std::function<void(const vmm::FromVmm&)> on_event);

  base::Status Send(const vmm::ToVmm& message, std::span<const int> fds);
  const jail::Child& child() const { return child_; }

 private:
  VmmProcess();
  void OnReadable();

  jail::Child child_;
  base::UniqueFd socket_;
  base::Watch watch_;
  std::function<void(const vmm::FromVmm&)> on_event_;
  base::LogRate events_;
};

}  // namespace msb::sandbox
