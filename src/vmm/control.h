// Control: the monitor's end of msb-vmm: its requests with their descriptors, and our events.
//
// Owned by main and used by the Machine, on the event loop's thread. The monitor is trusted, but a
// message that is not understood is an error that ends msb-vmm, not something to guess about.
#pragma once

#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/vmm/protocol.h"

namespace msb::vmm {

class Control {
 public:
  struct Request {
    ToVmm message;
    std::vector<base::UniqueFd> fds;
  };

  explicit Control(base::UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  // The next request, waiting for it. kClosed: the monitor is gone.
  base::Result<Request> Receive();
  // Never waits: events are few, and a monitor that leaves hundreds unread is gone for all
  // purposes.
  base::Status Send(const FromVmm& event) const;

 private:
  base::UniqueFd socket_;
};

}  // namespace msb::vmm
