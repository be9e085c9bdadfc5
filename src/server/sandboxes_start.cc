// The start of a sandbox, from what a client asks for to one that runs, or to nothing.
#include "src/base/bytes.h"
#include "src/base/log.h"
#include "src/sandbox/launch_plan.h"
#include "src/sandbox/run_directory.h"
#include "src/server/config.h"
#include "src/server/launch_preparation.h"
#include "src/server/sandboxes.h"

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
  const Before before = co_await loop_.Offload(Loop::Lane::kChange, [storage = storage_, key] {
    return Before{storage->Load(key), storage->HasDirectory(key)};
  });
  const auto& stored = before.stored;
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
    co_await loop_.Offload(Loop::Lane::kChange, [storage = storage_, key, before, reset] {
      UndoLaunch(*storage, key, before, reset);
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

}  // namespace msb::server
