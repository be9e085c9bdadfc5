// GuestKernel: a User-Mode Linux kernel in jail B (engine `uml`).
//
// Start returns once the kernel's init has been executed: the kernel's devices can then be served
// on the listening sockets it was given. Owned by the monitor; one thread. Destroying a GuestKernel
// kills the whole pid namespace. spec/machine.md, "User-Mode Linux".
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/sys.h"
#include "src/base/unique_fd.h"
#include "src/jail/jail.h"

namespace msb::sandbox {

struct GuestKernelSpec {
  int kernel_fd = -1;     // the `linux` executable
  int init_fd = -1;       // the msb-jail-init executable
  int initramfs_fd = -1;  // copied into the jail's root
  uint64_t memory_bytes = 0;
  // Virtio device ids in the order of their listeners (2: block, 19: vsock).
  std::vector<uint32_t> device_ids;
  uid_t host_uid = 0;
  gid_t host_gid = 0;
  std::optional<int> cpu;     // where it runs; the device process belongs on the same one
  int identity_lock_fd = -1;  // held by the init, so that the identity is free when all is gone
  int log_fd = -1;            // the kernel's messages; a pipe's write end
};

struct GuestKernel {
  jail::Child child;
  // Listening vhost-user sockets, one a device, to be handed to msb-vmm.
  std::vector<base::UniqueFd> listeners;
  // Becomes readable when the kernel has ended: an int, see src/jail/init/main.cc.
  base::UniqueFd status;
};

base::Result<GuestKernel> StartGuestKernel(const GuestKernelSpec& spec);

// "ended with code 1", "was killed by signal 9 (Killed)" …
std::string DescribeKernelStatus(int status);

// How many host processes a guest of this size may use, and how much private memory each of them:
// their product is at most twice the guest's RAM (spec/machine.md, "Host memory without a cgroup").
struct ProcessBounds {
  uint64_t processes;
  uint64_t data_bytes;
};
ProcessBounds BoundsFor(uint64_t memory_bytes);

}  // namespace msb::sandbox
