#include "src/server/sandboxes.h"

#include "src/base/bytes.h"
#include "src/base/log.h"
#include "src/base/sys.h"
#include "src/sandbox/run_directory.h"
#include "src/server/config.h"
#include "src/server/launch_preparation.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

struct Outcome {
  explicit Outcome(boost::asio::any_io_executor executor) : known(std::move(executor)) {}
  Event known;
  std::optional<sandbox::Ended> failed;
};

// Whether it is what the configuration asks for that cannot be.
bool IsWish(agent::FailureCode refusal) {
  using enum agent::FailureCode;
  return refusal == kProgramMissing || refusal == kNotExecutable || refusal == kNoSuchUser ||
         refusal == kBadWorkdir;
}

base::Error Refused(const SandboxKey& key, const api::Config& config, std::string_view why) {
  return Fail(ErrorCode::kInvalid, "sandbox {} cannot be started over image {}: {}", key.name,
              base::EscapeForTerminal(*config.image), base::EscapeForTerminal(why));
}

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

// --- start ---------------------------------------------------------------------------------------

Async<base::Result<Sandboxes::Warnings>> Sandboxes::Start(SandboxKey key,
                                                          std::optional<api::Config> given,
                                                          bool reset, Caller caller) {
  const auto entry = EntryOf(key);
  base::Result<Warnings> started;
  {
    const Lock::Guard guard = co_await entry->lock.Acquire(never_);
    started = co_await StartLocked(key, std::move(given), reset, caller, *entry);
  }
  Forget(key, entry);
  if (!started) co_return host_paths_.Hide(started.error());
  co_return started;
}

Async<base::Result<Sandboxes::Warnings>> Sandboxes::StartLocked(const SandboxKey& key,
                                                                std::optional<api::Config> given,
                                                                bool reset, const Caller& caller,
                                                                Entry& entry) {
  auto stored = co_await loop_.Offload(Loop::Lane::kChange,
                                       [storage = storage_, key] { return storage->Load(key); });
  if (!stored && stored.error().code() == ErrorCode::kCorrupt && !given) co_return stored.error();
  const std::optional<api::Config> earlier = stored ? std::optional(stored->config) : std::nullopt;
  CO_TRY(const api::Config config, CompleteConfig(given, earlier, key.name));
  Warnings warnings;
  if (auto warning = sandbox::CpuWarning(Cpus(config), "cpus")) warnings.push_back(*warning);
  if (const auto running = Running(key, entry)) {
    const std::string difference = earlier ? co_await Difference(config, *earlier) : "";
    if (difference.empty() && !reset) co_return warnings;
    co_return Fail(
        ErrorCode::kInvalid,
        "sandbox {} runs already, {}: stop it first, or start it without a configuration", key.name,
        reset ? "and its disk cannot be reset while it does"
              : "with another configuration: " + difference);
  }
  CO_TRY(co_await Admit(key, config, caller));
  base::Status launched = co_await Launch(key, config, reset, caller, entry);
  if (!launched) {
    co_await loop_.Offload(Loop::Lane::kChange, [storage = storage_, key, stored, reset] {
      UndoLaunch(*storage, key, stored, reset);
      return true;
    });
  }
  starting_.erase(key);
  if (!launched) co_return launched.error();
  co_return warnings;
}

// Images differ only if they are not the same: however they are called.
Async<std::string> Sandboxes::Difference(api::Config wanted, api::Config is) {
  if (wanted.image != is.image) {
    const bool same = co_await loop_.Offload(
        Loop::Lane::kLook, [home = home_, wanted = *wanted.image, is = is.image.value_or("")] {
          return IsSameImage(home, wanted, is);
        });
    if (same) wanted.image = is.image;
  }
  co_return DifferenceOf(wanted, is);
}

Async<base::Status> Sandboxes::Admit(const SandboxKey& key, const api::Config& config,
                                     const Caller& caller) {
  Lock::Guard guard;
  if (HasLimits(caller)) {
    guard = co_await admitting_.Acquire(never_);
    std::map<SandboxKey, Reservation> starting = starting_;
    CO_TRY(const auto listed, co_await List("*"));
    starting.insert(starting_.begin(), starting_.end());  // of keys without limits, meanwhile
    CO_TRY(CheckLimits(key, config, caller, listed, starting));
  }
  starting_.insert_or_assign(key, Reservation{caller.key_id, config});
  co_return base::Status();
}

Async<base::Status> Sandboxes::Launch(const SandboxKey& key, const api::Config& config, bool reset,
                                      const Caller& caller, Entry& entry) {
  CO_TRY(sandbox::LaunchPlan plan,
         co_await loop_.Offload(Loop::Lane::kChange,
                                [storage = storage_, home = home_, key, config, reset, caller] {
                                  return PrepareLaunch(*storage, home, key, config, reset, caller);
                                }));
  const auto outcome = std::make_shared<Outcome>(loop_.executor());
  sandbox::Lease::Callbacks callbacks;
  callbacks.on_program_started = [outcome](const sandbox::ProgramStarted&) {
    outcome->known.Set();
  };
  callbacks.on_notice = [name = key.FullName()](const std::string& line) {
    LOG(kWarning, "sandbox {}: {}", name, line);
  };
  callbacks.on_ended = [outcome](const sandbox::Ended& ended) {
    outcome->failed = ended;
    outcome->known.Set();
  };
  {
    CO_TRY(const auto lease,
           sandbox::Lease::Start(loop_.events(), plan.spec, plan.fds(), std::move(callbacks)));
    plan.files.clear();  // the disk is the sandbox's alone
    loop_.Spawn(Sweep());
    co_await outcome->known.Wait();
  }
  if (outcome->failed) {
    const bool refused = outcome->failed->refusal && IsWish(*outcome->failed->refusal);
    if (refused) co_return Refused(key, config, outcome->failed->message);
    LOG(kWarning, "sandbox {} could not be started: {}; the guest kernel's last lines: {}",
        key.FullName(), outcome->failed->message,
        base::EscapeForTerminal(outcome->failed->guest_log.data));
    co_return Fail(ErrorCode::kSystem, "sandbox {} could not be started: {}", key.name,
                   base::EscapeForTerminal(outcome->failed->message));
  }
  CO_TRY(Running(key, entry));
  // With a program the agent has looked at both.
  if (plan.spec.program || !(config.user || config.workdir)) co_return base::Status();
  const base::Status checked = co_await CheckStarted(entry);
  if (!checked && checked.error().code() == ErrorCode::kInvalid) {
    co_return Refused(key, config, checked.error().message());
  }
  co_return checked;
}

Async<base::Status> Sandboxes::CheckStarted(Entry& entry) {
  const Instance::Use use(entry.instance);
  const base::Status checked = co_await use->CheckDefaults();
  if (checked) co_return checked;
  const base::Status stopped = co_await use->Stop(std::chrono::milliseconds(0));
  if (!stopped) LOG(kWarning, "{}", stopped.error().message());
  entry.instance.reset();
  co_return checked;
}

Async<void> Sandboxes::Sweep() {
  co_await loop_.Offload(Loop::Lane::kChange, [] {
    sandbox::SweepRunDirectories();
    return true;
  });
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
