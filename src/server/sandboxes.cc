#include "src/server/sandboxes.h"

#include "src/base/bytes.h"
#include "src/base/sys.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

}  // namespace

base::Result<std::unique_ptr<Sandboxes>> Sandboxes::Open(Loop& loop, std::string home,
                                                         const std::string& directory) {
  Storage storage = TRY(Storage::Open(directory));
  HostPaths host_paths(home, directory);
  return std::unique_ptr<Sandboxes>(
      new Sandboxes(loop, std::move(home), std::move(storage), std::move(host_paths)));
}

std::shared_ptr<Sandboxes::Entry> Sandboxes::EntryOf(const SandboxKey& key) {
  auto& entry = entries_[key];
  if (!entry) entry = std::make_shared<Entry>(loop_.executor());
  return entry;
}

void Sandboxes::Forget(const SandboxKey& key, const std::shared_ptr<Entry>& entry) {
  constexpr long kOurs = 2;  // the map's and the caller's
  if (entry.use_count() == kOurs && (!entry->instance || entry->instance->ended())) {
    entries_.erase(key);
  }
}

// --- find ----------------------------------------------------------------------------------------

base::Error Sandboxes::NotThere(const SandboxKey& key) {
  return Fail(ErrorCode::kNotFound, "there is no sandbox {} in namespace {} (sandbox.list)",
              key.name, key.namespace_);
}

base::Error Sandboxes::NotRunning(const SandboxKey& key) const {
  if (!storage_->Has(key)) {
    return Fail(ErrorCode::kNotFound,
                "there is no sandbox {} in namespace {}: start it first (sandbox.start)", key.name,
                key.namespace_);
  }
  const auto found = LastRun(*storage_, key);
  const bool ended = found && found->state.ended;
  return Fail(ErrorCode::kNotFound,
              "sandbox {} in namespace {} does not run{}{}: start it again "
              "(sandbox.start)",
              key.name, key.namespace_, ended ? ": " : "",
              ended ? base::EscapeForTerminal(found->state.ended->message) : "");
}

base::Result<std::shared_ptr<Instance>> Sandboxes::Running(const SandboxKey& key, Entry& entry) {
  if (entry.instance && !entry.instance->ended()) return entry.instance;
  entry.instance.reset();
  const auto found = LastRun(*storage_, key);
  if (!found || found->state.phase == sandbox::Phase::kEnded) return NotRunning(key);
  auto instance = Instance::Connect(loop_, *found);
  if (!instance && instance.error().code() == ErrorCode::kClosed) return NotRunning(key);
  entry.instance = TRY(std::move(instance));
  return entry.instance;
}

Async<base::Result<Instance::Use>> Sandboxes::Find(SandboxKey key, Cancellation& cancellation) {
  const auto entry = EntryOf(key);
  if (entry->lock.held()) {  // it is being started, or stopped
    const Lock::Guard turn = co_await entry->lock.Acquire(cancellation);
    if (!turn) co_return Fail(ErrorCode::kClosed, "the client has gone");
  }
  auto running = Running(key, *entry);
  if (!running) {
    Forget(key, entry);
    co_return host_paths_.Hide(running.error());
  }
  co_return Instance::Use(*std::move(running));
}

std::shared_ptr<Instance> Sandboxes::Known(const SandboxKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : found->second->instance;
}

// --- stop, remove --------------------------------------------------------------------------------

Async<base::Result<bool>> Sandboxes::Stop(SandboxKey key, std::chrono::milliseconds grace) {
  const auto entry = EntryOf(key);
  base::Result<bool> stopped = false;
  Hasten(*entry, grace);
  {
    const Lock::Guard guard = co_await entry->lock.Acquire(never_);
    stopped = co_await StopLocked(key, grace, *entry);
  }
  Forget(key, entry);
  if (!stopped) co_return host_paths_.Hide(stopped.error());
  co_return stopped;
}

// It may be stopped already by somebody with more patience, for whom this one would wait.
void Sandboxes::Hasten(Entry& entry, std::chrono::milliseconds grace) {
  if (!entry.lock.held() || !entry.instance || entry.instance->ended()) return;
  // What cannot be said to a monitor that has gone needs not be.
  (void)entry.instance->monitor().Stop(static_cast<uint32_t>(grace.count()));
}

Async<base::Result<bool>> Sandboxes::StopLocked(const SandboxKey& key,
                                                std::chrono::milliseconds grace, Entry& entry) {
  const auto running = Running(key, entry);
  if (!running) {
    // One whose configuration cannot be read is one all the same.
    if (running.error().code() != ErrorCode::kNotFound) co_return running.error();
    if (!storage_->Has(key)) co_return NotThere(key);
    co_return false;
  }
  CO_TRY(co_await (*running)->Stop(grace));
  entry.instance.reset();
  co_return true;
}

Async<base::Status> Sandboxes::Remove(SandboxKey key) {
  const auto entry = EntryOf(key);
  base::Status removed;
  Hasten(*entry, std::chrono::milliseconds(0));
  {
    const Lock::Guard guard = co_await entry->lock.Acquire(never_);
    // Its disk goes, too: nothing needs to be settled.
    const auto stopped = co_await StopLocked(key, std::chrono::milliseconds(0), *entry);
    if (stopped) {
      removed = co_await loop_.Offload(Loop::Lane::kChange, [storage = storage_, key] {
        (void)sandbox::RemoveSandbox(key.FullName());
        return storage->Remove(key);
      });
    } else {
      removed = stopped.error();
    }
  }
  Forget(key, entry);
  if (!removed) co_return host_paths_.Hide(removed.error());
  co_return removed;
}

// --- list ----------------------------------------------------------------------------------------

Async<base::Result<std::vector<Listed>>> Sandboxes::List(std::string name_space,
                                                         Measuring measuring) {
  Lock::Guard guard;
  if (measuring == Measuring::kYes) guard = co_await measuring_.Acquire(never_);
  auto listed =
      co_await loop_.Offload(Loop::Lane::kLook, [storage = storage_, name_space, measuring] {
        return ListSandboxes(*storage, name_space, measuring);
      });
  if (!listed) co_return host_paths_.Hide(listed.error());
  co_return listed;
}

api::SandboxMetrics Sandboxes::MetricsOf(const Listed& listed) {
  api::SandboxMetrics metrics;
  metrics.namespace_ = listed.key.namespace_;
  metrics.name = listed.key.name;
  metrics.running = listed.running();
  metrics.disk_usage = listed.disk_bytes;
  if (!metrics.running) return metrics;
  metrics.memory_usage = listed.usage.memory_bytes >> 20;
  metrics.cpu_usage = Percent(*listed.state, listed.usage.cpu_us);
  return metrics;
}

// Since the last look; one that is looked at for the first time since it was started.
double Sandboxes::Percent(const sandbox::State& state, uint64_t cpu_us) {
  constexpr int64_t kShortest_ns = 100'000'000;  // of a time that a percentage means something for
  constexpr size_t kMostLooks = 10'000;
  const int64_t now_ns = base::MonotonicNanos();
  if (looks_.size() > kMostLooks) looks_.clear();
  CpuLook& look = looks_[state.id];
  if (look.at_ns == 0) {
    look.at_ns =
        now_ns - std::max<int64_t>(0, sandbox::WallClockMs() - state.created_ms) * 1'000'000;
  }
  const int64_t passed_ns = now_ns - look.at_ns;
  if (passed_ns < kShortest_ns) return look.percent;
  const double spent_ns = static_cast<double>(cpu_us - std::min(cpu_us, look.cpu_us)) * 1000;
  look = {now_ns, cpu_us, 100 * spent_ns / static_cast<double>(passed_ns)};
  return look.percent;
}

}  // namespace msb::server
