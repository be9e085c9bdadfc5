// The end of a guest that truncates its own memory: the next touch of a missing page raises SIGBUS
// here, which is that guest's fault and ends this one machine, with a reason, and nothing else.
//
// A signal handler can reach nothing but globals: this file holds the process's one pair of them,
// set while there is a single thread. The handler only sends a message made before and exits.
#pragma once

#include <string_view>

#include "src/base/result.h"
#include "src/virtio/guest_memory.h"

namespace msb::vmm {

inline constexpr int kGuestFaultExitCode = 3;

// From now on a SIGBUS in guarded memory sends `message` as one packet to `socket_fd` and exits
// with kGuestFaultExitCode; elsewhere it is an ordinary crash. kLimit for a message longer than 256
// bytes.
base::Status HandleGuestFaults(int socket_fd, std::string_view message);

// The memory to guard; null: none. It must outlive its guard.
void GuardGuestMemory(const virtio::GuestMemory* memory);

}  // namespace msb::vmm
