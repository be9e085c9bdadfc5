#include "src/sandbox/cpu_slots.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;
using base::LockedRange;
using base::UniqueFd;

constexpr const char* kDirectory = ".placement";
constexpr uint64_t kEnd = uint64_t{base::kMaxCpus} * CpuSlots::kSlotsPerCpu;
constexpr uint64_t kTurn = kEnd;
// More than any host runs: whoever holds more has not locked slots.
constexpr size_t kMaxTaken = 65536;

uint64_t PositionOf(CpuSlot slot) {
  return static_cast<uint64_t>(slot.cpu) * CpuSlots::kSlotsPerCpu + slot.slot;
}

CpuSlot SlotAt(uint64_t position) {
  return {static_cast<int>(position / CpuSlots::kSlotsPerCpu),
          static_cast<uint32_t>(position % CpuSlots::kSlotsPerCpu)};
}

}  // namespace

size_t CpuLoad::On(int cpu) const {
  const auto found = taken_.find(cpu);
  return found == taken_.end() ? 0 : found->second.size();
}

uint32_t CpuLoad::LowestFree(int cpu) const {
  const auto found = taken_.find(cpu);
  if (found == taken_.end()) return 0;
  uint32_t free = 0;
  for (const uint32_t slot : found->second) {
    if (slot != free) break;
    ++free;
  }
  return free;
}

base::CpuList CpuLoad::Used() const {
  base::CpuList cpus;
  for (const auto& [cpu, slots] : taken_) cpus.push_back(cpu);
  return cpus;
}

base::Result<CpuSlots> CpuSlots::Open(int parent_fd) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  auto directory = base::OpenFileAt(parent_fd, kDirectory, kFlags);
  if (!directory && directory.error().code() == ErrorCode::kNotFound) {
    if (::mkdirat(parent_fd, kDirectory, 0700) < 0 && errno != EEXIST) {
      return base::FailErrno("cannot create the placement directory");
    }
    directory = base::OpenFileAt(parent_fd, kDirectory, kFlags);
  }
  if (!directory) return std::move(directory).error();
  UniqueFd slots =
      TRY(base::OpenFileAt(directory->get(), "slots", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  return CpuSlots(*std::move(directory), std::move(slots));
}

base::Result<CpuLoad> CpuSlots::Count() const {
  CpuLoad load;
  size_t taken = 0;
  // The kernel names any one lock of a range: what remains on both sides of it is asked for next.
  std::vector<LockedRange> unknown = {{0, kEnd}};
  while (!unknown.empty()) {
    const LockedRange range = unknown.back();
    unknown.pop_back();
    const auto lock = TRY(base::FindLock(slots_.get(), range));
    if (!lock) continue;
    taken += lock->length;
    if (taken > kMaxTaken) {
      return base::Fail(ErrorCode::kCorrupt, "the locks in {}/slots are no slots", kDirectory);
    }
    const uint64_t lock_end = lock->start + lock->length;
    const uint64_t range_end = range.start + range.length;
    for (uint64_t at = lock->start; at < lock_end; ++at) load.Add(SlotAt(at));
    if (lock->start > range.start) unknown.push_back({range.start, lock->start - range.start});
    if (lock_end < range_end) unknown.push_back({lock_end, range_end - lock_end});
  }
  return load;
}

base::Status CpuSlots::TryTake(CpuSlot slot) const {
  if (slot.cpu < 0 || slot.cpu >= base::kMaxCpus || slot.slot >= kSlotsPerCpu) {
    return base::Fail(ErrorCode::kLimit, "CPU {} has no slot {}", slot.cpu, slot.slot);
  }
  return base::TryLockByte(slots_.get(), PositionOf(slot));
}

// Fails only for arguments that no lock could have been taken with.
void CpuSlots::Give(CpuSlot slot) const { (void)base::UnlockByte(slots_.get(), PositionOf(slot)); }

base::Status CpuSlots::TryTakeTurn() const { return base::TryLockByte(slots_.get(), kTurn); }
void CpuSlots::GiveTurn() const { (void)base::UnlockByte(slots_.get(), kTurn); }

base::Result<UniqueFd> CpuSlots::OpenBell(int cpu) const {
  const std::string name = std::to_string(cpu);
  // Both ways, since a reader of a FIFO without a writer hears an end of file for ever.
  constexpr int kFlags = O_RDWR | O_NONBLOCK | O_NOFOLLOW;
  auto bell = base::OpenFileAt(directory_.get(), name, kFlags);
  if (bell || bell.error().code() != ErrorCode::kNotFound) return bell;
  if (::mkfifoat(directory_.get(), name.c_str(), 0600) < 0 && errno != EEXIST) {
    return base::FailErrno("cannot create a FIFO for placement");
  }
  return base::OpenFileAt(directory_.get(), name, kFlags);
}

bool CpuSlots::Ring(int cpu, uint16_t room) const {
  // Without a listener: ENXIO, or ENOENT if there never was one.
  const auto bell =
      base::OpenFileAt(directory_.get(), std::to_string(cpu), O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!bell) return false;
  const auto note = base::Write(bell->get(), std::as_bytes(std::span(&room, 1)));
  return note || note.error().sys_errno() == EAGAIN;  // a full FIFO was rung often enough
}

}  // namespace msb::sandbox
