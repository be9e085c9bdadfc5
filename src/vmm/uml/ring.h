// Ring: the doors of one queue: the descriptor by which the driver kicks the device, and the one by
// which the device interrupts the driver.
//
// Owned by a Backend, on the event loop's thread. Both descriptors come from jail B, which keeps
// its copies and may change their flags at any time, so nothing here may wait: the kick descriptor
// is never read (edge-triggered events tell of each kick), and what UML calls its interrupt pipe is
// a socket, to which one can send without waiting whatever its flags say.
#pragma once

#include <functional>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::vmm::uml {

class Ring {
 public:
  // An invalid descriptor takes the old one away.
  base::Status SetKick(base::EventLoop& loop, base::UniqueFd fd, std::function<void()> on_kick);
  base::Status SetCall(base::UniqueFd fd);  // must be a socket
  bool has_kick() const { return kick_.valid(); }

  // A full socket is a driver that has yet to read earlier signals: nothing is lost.
  void Signal() const;
  void Reset();

 private:
  base::UniqueFd kick_;
  base::Watch kick_watch_;  // after kick_: removed before the descriptor is closed
  base::UniqueFd call_;
};

}  // namespace msb::vmm::uml
