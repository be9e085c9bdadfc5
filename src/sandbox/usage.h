// Usage: what a running sandbox takes of its host, read from /proc and the disk's file: its monitor
// is not asked, so that this neither waits for one nor counts as use.
//
// Any thread; a few dozen small reads. Processes may come and go meanwhile: what ends between two
// reads is looked for again where its parent has it, so figures of two calls can be compared, but a
// difference may be off by what the shortest-lived did.
#pragma once

#include <cstdint>
#include <optional>

#include "src/sandbox/state.h"

namespace msb::sandbox {

struct Usage {
  // Processor time since its start, of the monitor, msb-vmm, the guest kernel and the guest's
  // processes, those that have ended too. In steps of the kernel's clock tick (10 ms).
  uint64_t cpu_us = 0;
  // Guest memory that was ever touched, and is not given back before the end, and what the
  // sandbox's processes have of their own. Without the pages of executables, which all sandboxes
  // share, and what is swapped out.
  uint64_t memory_bytes = 0;
  // What a disk that is kept takes on the host; absent for a temporary one.
  std::optional<uint64_t> disk_bytes;
};

// Absent if it has ended.
std::optional<Usage> ReadUsage(const State& state);

}  // namespace msb::sandbox
