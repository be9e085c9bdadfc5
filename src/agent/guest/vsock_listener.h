// VsockListener: accepts the host's streams on the agent's port. Owned by main; one thread.
#pragma once

#include <functional>
#include <memory>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class VsockListener {
 public:
  // Peers other than the host are refused.
  static base::Result<std::unique_ptr<VsockListener>> Listen(
      base::EventLoop& loop, std::function<void(base::UniqueFd)> on_accept);
  // Tells the host that we listen: a connection to kAnnouncePort, begun and dropped.
  static void Announce();

 private:
  void Accept();

  std::function<void(base::UniqueFd)> on_accept_;
  base::UniqueFd socket_;
  base::UniqueFd spare_;  // given up to refuse a connection when no descriptor is left
  base::Watch watch_;
};

}  // namespace msb::agent
