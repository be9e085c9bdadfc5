#include "src/sandbox/placement.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <span>

#include "src/base/log.h"
#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

// How often a slot may be snatched away before the search is given up: each time some other sandbox
// got a place.
constexpr int kAttempts = 1000;

uint32_t Random() {
  std::array<uint8_t, 4> bytes;
  base::FillRandom(bytes);
  return std::bit_cast<uint32_t>(bytes);
}

bool Contains(const base::CpuList& cpus, int cpu) {
  return std::binary_search(cpus.begin(), cpus.end(), cpu);
}

size_t FewestOn(const CpuLoad& load, const base::CpuList& cpus) {
  size_t fewest = SIZE_MAX;
  for (const int cpu : cpus) fewest = std::min(fewest, load.On(cpu));
  return fewest;
}

}  // namespace

std::optional<int> LeastLoaded(const CpuLoad& load, const base::CpuList& allowed, int busy,
                               uint32_t random) {
  const size_t fewest = FewestOn(load, allowed);
  base::CpuList choices;
  for (const int cpu : allowed) {
    if (load.On(cpu) == fewest) choices.push_back(cpu);
  }
  if (choices.size() > 1) std::erase(choices, busy);
  if (choices.empty()) return std::nullopt;
  return choices[random % choices.size()];
}

std::optional<int> BetterCpu(const CpuLoad& load, int mine, const base::CpuList& allowed) {
  const auto best = LeastLoaded(load, allowed, mine, 0);
  if (!best || *best == mine) return std::nullopt;
  if (!Contains(allowed, mine) || load.On(mine) >= load.On(*best) + 2) return best;
  return std::nullopt;
}

base::CpuList Crowded(const CpuLoad& load, int room) {
  base::CpuList cpus;
  for (const int cpu : load.Used()) {
    if (load.On(cpu) >= load.On(room) + 2) cpus.push_back(cpu);
  }
  // Most first; in order of their numbers where equal.
  std::sort(cpus.begin(), cpus.end(), [&](int one, int other) {
    return std::pair(load.On(other), one) < std::pair(load.On(one), other);
  });
  return cpus;
}

// --- start and end -------------------------------------------------------------------------------

std::unique_ptr<Placement> Placement::Choose(int parent_fd, base::CpuList cpus) {
  std::erase_if(cpus, [](int cpu) { return cpu < 0 || cpu >= base::kMaxCpus; });
  std::sort(cpus.begin(), cpus.end());
  std::unique_ptr<Placement> placement(new Placement(std::move(cpus)));
  const base::Status taken = placement->TakeFirst(parent_fd);
  if (taken) {
    placement->cpu_ = placement->slot_->cpu;
  } else {
    LOG(kDebug, "this sandbox is not counted where others are placed: {}", taken.error().message());
    placement->slots_.reset();
    placement->cpu_ = LeastLoaded({}, placement->Allowed(), ::sched_getcpu(), Random());
  }
  return placement;
}

base::Status Placement::TakeFirst(int parent_fd) {
  slots_ = TRY(CpuSlots::Open(parent_fd));
  const base::CpuList allowed = Allowed();
  // Whoever starts a sandbox is busy with that just now.
  const int busy = ::sched_getcpu();
  slot_ =
      TRY(Take([&](const CpuLoad& load) { return LeastLoaded(load, allowed, busy, Random()); }));
  return {};
}

Placement::~Placement() {
  // Closed before the bell is rung, else it might be this one that hears it.
  bell_watch_.Reset();
  bell_.Reset();
  if (!slots_) return;
  slots_->Give(*slot_);
  slot_.reset();
  LookAround();
}

base::CpuList Placement::Allowed() const {
  if (!cpus_.empty()) return cpus_;
  return base::AllowedCpus().value_or(base::CpuList());
}

base::Result<CpuLoad> Placement::Count() const {
  CpuLoad load = TRY(slots_->Count());
  if (slot_) load.Add(*slot_);
  return load;
}

base::Result<CpuSlot> Placement::Take(const Chooser& choose) const {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const CpuLoad load = TRY(Count());
    const std::optional<int> cpu = choose(load);
    if (!cpu) return base::Fail(base::ErrorCode::kNotFound, "no CPU to choose");
    const CpuSlot slot = {*cpu, load.LowestFree(*cpu)};
    const base::Status taken = slots_->TryTake(slot);
    if (taken) return slot;
    if (taken.error().code() != base::ErrorCode::kBusy) return taken.error();
  }
  return base::Fail(base::ErrorCode::kBusy, "too many sandboxes start at the same time");
}

// --- moving --------------------------------------------------------------------------------------

void Placement::Follow(base::EventLoop& loop, Move move) {
  if (!slots_) return;
  loop_ = &loop;
  move_ = std::move(move);
  if (Allowed().size() > 1) Listen();
  LookAround();
}

void Placement::Listen() {
  bell_watch_.Reset();
  auto bell = slots_->OpenBell(slot_->cpu);
  if (bell) {
    bell_ = *std::move(bell);
    // Exclusive: one monitor wakes, not all of this CPU.
    auto watch = loop_->Add(bell_.get(), EPOLLIN | EPOLLEXCLUSIVE, [this](uint32_t) { OnBell(); });
    if (watch) {
      bell_watch_ = *std::move(watch);
      return;
    }
    bell = std::move(watch).error();
  }
  bell_.Reset();
  LOG(kDebug, "this sandbox stays on CPU {}: {}", slot_->cpu, bell.error().message());
}

void Placement::OnBell() {
  uint16_t room = 0;
  const auto note = base::Read(bell_.get(), std::as_writable_bytes(std::span(&room, 1)));
  if (!note || *note != sizeof room || room >= base::kMaxCpus) return;  // another one was quicker
  // Whoever has the turn looks around once it has given it back.
  if (!slots_->TryTakeTurn()) return;
  const int before = slot_->cpu;
  const bool moved = MoveIfBetter();
  slots_->GiveTurn();
  if (moved) return LookAround();
  const auto load = Count();
  if (load) Tell(*load, room, before);
}

bool Placement::MoveIfBetter() {
  const base::CpuList allowed = Allowed();
  const auto slot = Take([&](const CpuLoad& load) { return BetterCpu(load, slot_->cpu, allowed); });
  if (!slot) return false;
  const base::Status moved = move_(slot->cpu);
  if (!moved) {
    LOG(kWarning, "this sandbox stays on CPU {}: {}", slot_->cpu, moved.error().message());
    slots_->Give(*slot);
    bell_watch_.Reset();
    bell_.Reset();
    return false;
  }
  slots_->Give(*slot_);
  slot_ = *slot;
  cpu_ = slot->cpu;
  Listen();
  return true;
}

void Placement::LookAround() const {
  const auto load = Count();
  if (!load) return;
  // Also on CPUs that this sandbox itself may not use.
  base::CpuList known = load->Used();
  for (const base::CpuList& more : {cpus_, base::AllowedCpus().value_or(base::CpuList())}) {
    known.insert(known.end(), more.begin(), more.end());
  }
  const auto room = LeastLoaded(*load, known, -1, 0);
  if (room) Tell(*load, *room, std::nullopt);
}

void Placement::Tell(const CpuLoad& load, int room, std::optional<int> after) const {
  base::CpuList crowded = Crowded(load, room);
  if (after) {
    const auto at = std::find(crowded.begin(), crowded.end(), *after);
    crowded.erase(crowded.begin(), at == crowded.end() ? at : at + 1);
  }
  for (const int cpu : crowded) {
    if (slots_->Ring(cpu, static_cast<uint16_t>(room))) return;
  }
}

}  // namespace msb::sandbox
