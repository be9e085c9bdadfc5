// Placement: on which CPU a sandbox runs. The guest kernel, its processes and msb-vmm are pinned to
// one CPU together, since a kick is then a switch and no wake-up of another core (spec/machine.md,
// "Placement"). docs/placement.md is for users.
//
// A sandbox starts on the allowed CPU with the fewest sandboxes of this user (CpuSlots counts).
// When it starts and when it ends it looks whether some CPU has two more than another; if so it
// rings the bell of the most crowded one. The bell is a FIFO that the monitors of that CPU listen
// to: one of them reads the note and moves its sandbox, if that is better off elsewhere, then looks
// around itself. One that is not (its CPU list differs) passes the note on to the next crowded CPU.
// So a start and an end that leave things even wake nobody, and nothing polls. A monitor that is
// killed rings no bell; the next start or end sees what it left.
//
// No oscillation: one sandbox moves at a time (CpuSlots::TryTakeTurn), from a CPU with n sandboxes
// to one with m, and only if n - m >= 2. Each move lowers the sum of the squares of all counts, by
// 2(n - m) - 2 >= 2; that sum rises by starts and ends alone, so that moves come to an end when
// these do. (A count made while a sandbox starts or ends may be off by that one, and a move due to
// it wrong: once for that start or end.) A note is passed on in the order of the counts, downwards,
// and each look-around that begins at the top follows a start, an end or a move.
//
// Owned by the monitor, on its event loop; one thread. Nothing here fails a sandbox: without locks
// the CPU is chosen at random and kept.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "src/base/affinity.h"
#include "src/base/event_loop.h"
#include "src/sandbox/cpu_slots.h"

namespace msb::sandbox {

class Placement {
 public:
  // Pins all of the sandbox to that CPU. On an error the sandbox stays where it was, for good.
  using Move = std::function<base::Status(int cpu)>;

  // `parent_fd`: of the run directories, not kept. `cpus`: those the sandbox may use; empty: those
  // that this process may use, asked for anew each time.
  static std::unique_ptr<Placement> Choose(int parent_fd, base::CpuList cpus);
  // The slot is free, and those whom this concerns know, when this returns: call it once all of the
  // sandbox has ended.
  ~Placement();
  Placement(const Placement&) = delete;

  // Absent where the host does not say what may be used: the sandbox is not pinned.
  std::optional<int> cpu() const { return cpu_; }

  // From now on the sandbox is moved when another CPU has become emptier. Call it when it runs.
  void Follow(base::EventLoop& loop, Move move);

 private:
  explicit Placement(base::CpuList cpus) : cpus_(std::move(cpus)) {}
  using Chooser = std::function<std::optional<int>(const CpuLoad&)>;

  base::CpuList Allowed() const;
  base::Status TakeFirst(int parent_fd);
  base::Result<CpuLoad> Count() const;  // own slot included
  base::Result<CpuSlot> Take(const Chooser& choose) const;
  void Listen();
  void OnBell();
  bool MoveIfBetter();
  void LookAround() const;
  void Tell(const CpuLoad& load, int room, std::optional<int> after) const;

  const base::CpuList cpus_;
  std::optional<CpuSlots> slots_;
  std::optional<CpuSlot> slot_;
  std::optional<int> cpu_;
  base::EventLoop* loop_ = nullptr;
  Move move_;
  base::UniqueFd bell_;
  base::Watch bell_watch_;
};

// --- decisions -----------------------------------------------------------------------------------

// The allowed CPU with the fewest sandboxes; among several the one that `random` picks, `busy` only
// if there is no other.
std::optional<int> LeastLoaded(const CpuLoad& load, const base::CpuList& allowed, int busy,
                               uint32_t random);

// Where a sandbox of CPU `mine`, counted in `load`, is better off: with at least two fewer, or
// anywhere if `mine` is not allowed any more.
std::optional<int> BetterCpu(const CpuLoad& load, int mine, const base::CpuList& allowed);

// The CPUs that have at least two sandboxes more than `room`, most crowded first.
base::CpuList Crowded(const CpuLoad& load, int room);

}  // namespace msb::sandbox
