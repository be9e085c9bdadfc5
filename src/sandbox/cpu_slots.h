// CpuSlots: how many sandboxes run on which CPU, kept by locks alone.
//
//   <parent of the run directories>/.placement/
//     slots   an empty file. The byte cpu * 4096 + slot is locked (F_OFD_SETLK) by the monitor of a
//             sandbox on that CPU: a sandbox's slot ends with its monitor, however that ends. One
//             more byte is the turn to move.
//     <cpu>   a FIFO, the bell of that CPU: see src/sandbox/placement.h
//
// Counting is not atomic. It need not be: what is taken on the strength of a count is the CPU's
// lowest free slot, so that of several who counted at the same time one gets it and the others
// count again.
//
// Owned by a monitor; one thread. Only the monitor has the descriptors (a jail would keep its
// locks).
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "src/base/affinity.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::sandbox {

struct CpuSlot {
  int cpu = 0;
  uint32_t slot = 0;
};

// The slots that are taken, by CPU.
class CpuLoad {
 public:
  void Add(CpuSlot slot) { taken_[slot.cpu].insert(slot.slot); }
  size_t On(int cpu) const;
  uint32_t LowestFree(int cpu) const;
  base::CpuList Used() const;  // CPUs with sandboxes

 private:
  std::map<int, std::set<uint32_t>> taken_;
};

class CpuSlots {
 public:
  static constexpr uint32_t kSlotsPerCpu = 4096;

  // Creates what is missing below `parent_fd`.
  static base::Result<CpuSlots> Open(int parent_fd);

  // All slots that others hold. 2n+1 system calls for n sandboxes.
  base::Result<CpuLoad> Count() const;
  base::Status TryTake(CpuSlot slot) const;  // kBusy if another has it
  void Give(CpuSlot slot) const;

  // One sandbox at a time moves. kBusy if it is another's turn.
  base::Status TryTakeTurn() const;
  void GiveTurn() const;

  // The reading end of a CPU's bell; each ring is a note of two bytes, which one listener reads:
  // the CPU that has room.
  base::Result<base::UniqueFd> OpenBell(int cpu) const;
  // False if nobody listens.
  bool Ring(int cpu, uint16_t room) const;

 private:
  CpuSlots(base::UniqueFd directory, base::UniqueFd slots)
      : directory_(std::move(directory)), slots_(std::move(slots)) {}

  base::UniqueFd directory_;
  base::UniqueFd slots_;
};

}  // namespace msb::sandbox
