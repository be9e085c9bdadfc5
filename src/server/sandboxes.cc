#include "src/server/sandboxes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "src/base/bytes.h"
#include "src/base/log.h"
#include "src/base/sys.h"
#include "src/sandbox/launch_plan.h"
#include "src/sandbox/persistent_disk.h"
#include "src/sandbox/run_directory.h"
#include "src/sandbox/usage.h"
#include "src/server/config.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr const char* kScriptsDirectory = "/.sandbox/scripts";
constexpr uint64_t kBlockBytes = 512;  // of st_blocks

// The program that the sandbox is started with, if there is one.
std::optional<std::string> StartScript(const api::Config& config) {
  if (config.exec) return config.exec;
  const auto start = config.scripts.find("start");
  if (start != config.scripts.end()) return start->second;
  return std::nullopt;
}

std::vector<base::Bytes> BytesOf(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

// What a limit has left.
base::Status CheckLimit(const std::optional<uint64_t>& limit, uint64_t used, uint64_t wanted,
                        std::string_view what) {
  if (!limit || used + wanted <= *limit) return {};
  return Fail(ErrorCode::kLimit,
              "this key may use {} {} at once, {} of which are in use, and {} more are wanted: "
              "stop or remove a sandbox, or ask for a key with a higher limit",
              *limit, what, used, wanted);
}

base::Status CheckImageAllowed(const Caller& caller, const std::string& image) {
  if (IsImageAllowed(caller.images, image)) return {};
  return Fail(ErrorCode::kDenied, "this key may not use image {} (server keygen --allow-image)",
              base::EscapeForTerminal(image));
}

struct Outcome {
  explicit Outcome(boost::asio::any_io_executor executor) : known(std::move(executor)) {}
  Event known;
  std::optional<sandbox::Ended> failed;
};

}  // namespace

base::Result<std::unique_ptr<Sandboxes>> Sandboxes::Open(Loop& loop, std::string home,
                                                         const std::string& directory) {
  Storage storage = TRY(Storage::Open(directory));
  return std::unique_ptr<Sandboxes>(new Sandboxes(loop, std::move(home), std::move(storage)));
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

// The names are those of all of this user's servers; what is ours runs on our disk.
bool Sandboxes::IsOurs(const SandboxKey& key, const sandbox::State& state) const {
  return state.disk_path == fmt::format("{}/{}", storage_.PathOf(key), image::kDiskFile);
}

std::optional<sandbox::FoundSandbox> Sandboxes::LastRun(const SandboxKey& key) const {
  auto found = sandbox::FindSandbox(key.FullName());
  if (!found || !IsOurs(key, found->state)) return std::nullopt;
  return *std::move(found);
}

base::Error Sandboxes::NotRunning(const SandboxKey& key) const {
  if (!storage_.Has(key)) {
    return Fail(ErrorCode::kNotFound,
                "there is no sandbox {} in namespace {}: start it first (sandbox.start)", key.name,
                key.namespace_);
  }
  const auto found = LastRun(key);
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
  const auto found = LastRun(key);
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
  if (!running) Forget(key, entry);
  CO_TRY(auto instance, std::move(running));
  co_return Instance::Use(std::move(instance));
}

std::shared_ptr<Instance> Sandboxes::Known(const SandboxKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : found->second->instance;
}

// --- start ---------------------------------------------------------------------------------------

Async<base::Status> Sandboxes::Start(SandboxKey key, std::optional<api::Config> given, bool reset,
                                     Caller caller) {
  const auto entry = EntryOf(key);
  base::Status started;
  {
    const Lock::Guard guard = co_await entry->lock.Acquire(never_);
    started = co_await StartLocked(key, std::move(given), reset, caller, *entry);
  }
  Forget(key, entry);
  co_return started;
}

Async<base::Status> Sandboxes::StartLocked(const SandboxKey& key, std::optional<api::Config> given,
                                           bool reset, const Caller& caller, Entry& entry) {
  auto stored = storage_.Load(key);
  if (!stored && stored.error().code() == ErrorCode::kCorrupt && !given) co_return stored.error();
  const std::optional<api::Config> earlier = stored ? std::optional(stored->config) : std::nullopt;
  CO_TRY(const api::Config config, CompleteConfig(given, earlier, key.name));
  if (const auto running = Running(key, entry)) {
    const std::string difference = earlier ? DifferenceOf(config, *earlier) : "";
    if (difference.empty() && !reset) co_return base::Status();
    co_return Fail(
        ErrorCode::kInvalid,
        "sandbox {} runs already, {}: stop it first, or start it without a configuration", key.name,
        reset ? "and its disk cannot be reset while it does"
              : "with another configuration: " + difference);
  }
  CO_TRY(CheckLimits(key, config, caller));
  starting_.insert_or_assign(key, Reservation{caller.key_id, config});
  base::Status launched = co_await Launch(key, config, reset, caller, entry);
  starting_.erase(key);
  co_return launched;
}

base::Status Sandboxes::CheckLimits(const SandboxKey& key, const api::Config& config,
                                    const Caller& caller) const {
  const Limits& limits = caller.limits;
  if (!limits.sandboxes && !limits.memory_mib && !limits.cpus && !limits.disk_mib) return {};
  uint64_t sandboxes = 0, memory_mib = 0, cpus = 0, disk_mib = 0;
  const auto count = [&](const api::Config& other, bool running) {
    disk_mib += DiskBytes(other) >> 20;
    if (!running) return;
    sandboxes += 1;
    memory_mib += MemoryBytes(other) >> 20;
    cpus += Cpus(other);
  };
  for (const Listed& listed : TRY(List("*"))) {
    if (listed.key == key || starting_.contains(listed.key)) continue;
    if (!listed.stored) {
      return Fail(ErrorCode::kCorrupt,
                  "what sandbox {} is made of cannot be read, so the limits of this key cannot be "
                  "checked: remove it (sandbox.remove)",
                  listed.key.FullName());
    }
    if (listed.stored->key_id == caller.key_id) {
      count(listed.stored->config, listed.running());
    }
  }
  for (const auto& [other, reservation] : starting_) {
    if (reservation.key_id == caller.key_id) count(reservation.config, /*running=*/true);
  }
  TRY(CheckLimit(limits.sandboxes, sandboxes, 1, "sandboxes"));
  TRY(CheckLimit(limits.memory_mib, memory_mib, MemoryBytes(config) >> 20, "MiB of memory"));
  TRY(CheckLimit(limits.cpus, cpus, Cpus(config), "CPUs"));
  return CheckLimit(limits.disk_mib, disk_mib, DiskBytes(config) >> 20, "MiB of disk");
}

base::Result<sandbox::LaunchPlan> Sandboxes::Plan(const SandboxKey& key, const api::Config& config,
                                                  bool reset, const Caller& caller) const {
  const image::Store store = TRY(image::Store::Open(home_));
  // As it was asked for, so that nobody learns which others there are; and as it is called.
  TRY(CheckImageAllowed(caller, *config.image));
  image::RunnableImage image = TRY(store.OpenForRun(*config.image));
  TRY(CheckImageAllowed(caller, image.name));
  const image::ImageConfig image_config = image.config;
  sandbox::LaunchOptions options;
  options.name = key.FullName();
  options.memory_bytes = MemoryBytes(config);
  options.detached = true;
  options.lifetime_ms = Milliseconds(config.lifetime);
  options.idle_ms = Milliseconds(config.idle);
  TRY(storage_.OpenDirectory(key, /*create=*/true));
  const auto open_disk = reset ? sandbox::ResetPersistentDisk : sandbox::OpenPersistentDisk;
  sandbox::PersistentDisk disk = TRY(open_disk(storage_.PathOf(key), image, DiskBytes(config)));
  if (disk.bytes != DiskBytes(config)) {
    return Fail(ErrorCode::kInvalid,
                "config.disk: the disk of sandbox {} has {} MiB, not {}: start it with that, or "
                "with reset, which forgets what is on it",
                key.name, disk.bytes >> 20, DiskBytes(config) >> 20);
  }
  sandbox::LaunchPlan plan =
      TRY(sandbox::PlanLaunch(std::move(image), options, home_, std::move(disk)));
  plan.spec.ends_with_program = false;
  plan.spec.defaults = sandbox::DefaultsOf(image_config, {.env = BytesOf(config.envs),
                                                          .workdir = config.workdir.value_or(""),
                                                          .user = config.user.value_or("")});
  if (const auto script = StartScript(config)) {
    agent::Exec& program = plan.spec.program.emplace();
    program.id = agent::NewProcessId();
    program.argv = {*config.shell, "-c", *script};
    program.env = plan.spec.defaults.env;
    program.cwd = plan.spec.defaults.cwd;
    program.create_cwd = plan.spec.defaults.create_cwd;
    program.user = plan.spec.defaults.user;
  }
  return plan;
}

Async<base::Status> Sandboxes::Launch(const SandboxKey& key, const api::Config& config, bool reset,
                                      const Caller& caller, Entry& entry) {
  CO_TRY(sandbox::LaunchPlan plan, Plan(key, config, reset, caller));
  CO_TRY(storage_.Save(key, {.config = config, .key_id = caller.key_id}));
  const auto left = sandbox::RemoveSandbox(key.FullName());  // of its last run
  if (!left && left.error().code() == ErrorCode::kBusy) {
    co_return Fail(ErrorCode::kExists,
                   "a sandbox {} of another server on this host runs already (msb ps)",
                   key.FullName());
  }
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
    loop_.events().Defer(sandbox::SweepRunDirectories);
    co_await outcome->known.Wait();
  }
  if (outcome->failed) {
    LOG(kWarning, "sandbox {} could not be started: {}; the guest kernel's last lines: {}",
        key.FullName(), outcome->failed->message,
        base::EscapeForTerminal(outcome->failed->guest_log.data));
    co_return Fail(ErrorCode::kSystem, "sandbox {} could not be started: {}", key.name,
                   base::EscapeForTerminal(outcome->failed->message));
  }
  CO_TRY(const auto instance, Running(key, entry));
  const base::Status scripts = co_await PutScripts(*instance, config);
  // Without them it is not what was asked for.
  if (!scripts) (void)co_await instance->Stop(std::chrono::milliseconds(0));
  co_return scripts;
}

Async<base::Status> Sandboxes::PutScripts(Instance& instance, const api::Config& config) {
  if (config.scripts.empty()) co_return base::Status();
  agent::MakeDirectory make;
  make.path = kScriptsDirectory;
  make.parents = true;
  CO_TRY(co_await instance.guest().MakeDirectory(std::move(make)));
  for (const auto& [name, script] : config.scripts) {
    agent::WriteFile write;
    write.path = fmt::format("{}/{}", kScriptsDirectory, name);
    write.mode = 0755;
    const std::string text =
        script.starts_with("#!") ? script : fmt::format("#!{}\n{}\n", *config.shell, script);
    CO_TRY([[maybe_unused]] const auto status,
           co_await instance.guest().WriteFile(std::move(write), text, never_));
  }
  co_return base::Status();
}

// --- stop, remove --------------------------------------------------------------------------------

Async<base::Result<bool>> Sandboxes::Stop(SandboxKey key, std::chrono::milliseconds grace) {
  const auto entry = EntryOf(key);
  base::Result<bool> stopped = false;
  {
    const Lock::Guard guard = co_await entry->lock.Acquire(never_);
    stopped = co_await StopLocked(key, grace, *entry);
  }
  Forget(key, entry);
  co_return stopped;
}

Async<base::Result<bool>> Sandboxes::StopLocked(const SandboxKey& key,
                                                std::chrono::milliseconds grace, Entry& entry) {
  const auto running = Running(key, entry);
  if (!running) {
    // One whose configuration cannot be read is one all the same.
    const bool there = running.error().code() == ErrorCode::kNotFound && storage_.Has(key);
    if (!there) co_return running.error();
    co_return false;
  }
  CO_TRY(co_await (*running)->Stop(grace));
  entry.instance.reset();
  co_return true;
}

Async<base::Status> Sandboxes::Remove(SandboxKey key) {
  const auto entry = EntryOf(key);
  base::Status removed;
  {
    const Lock::Guard guard = co_await entry->lock.Acquire(never_);
    // Its disk goes, too: nothing needs to be settled.
    const auto stopped = co_await StopLocked(key, std::chrono::milliseconds(0), *entry);
    if (stopped) {
      (void)sandbox::RemoveSandbox(key.FullName());
      removed = storage_.Remove(key);
    } else {
      removed = stopped.error();
    }
  }
  Forget(key, entry);
  co_return removed;
}

// --- list ----------------------------------------------------------------------------------------

base::Result<std::vector<Sandboxes::Listed>> Sandboxes::List(std::string_view name_space) const {
  std::map<SandboxKey, Listed> found;
  const auto wanted = [&](const SandboxKey& key) {
    return name_space == "*" || name_space == key.namespace_;
  };
  for (SandboxKey& key : TRY(storage_.List())) {
    if (!wanted(key)) continue;
    auto stored = storage_.Load(key);
    found[key] = {key, stored ? std::optional(*std::move(stored)) : std::nullopt, {}};
  }
  for (sandbox::State& state : TRY(sandbox::ListSandboxes(/*ended_too=*/true))) {
    const size_t slash = state.name.find('/');
    if (slash == std::string::npos) continue;
    const SandboxKey key{state.name.substr(0, slash), state.name.substr(slash + 1)};
    if (!wanted(key) || !IsOurs(key, state)) continue;
    const bool ended = state.phase == sandbox::Phase::kEnded;
    if (ended && !found.contains(key)) continue;
    Listed& listed = found[key];
    listed.key = key;
    listed.state = std::move(state);
  }
  std::vector<Listed> list;
  for (auto& [key, listed] : found) list.push_back(std::move(listed));
  return list;
}

Measurement Sandboxes::Measure(const Listed& listed) const {
  const auto usage = sandbox::ReadUsage(*listed.state);
  return {.cpu_us = usage ? usage->cpu_us : 0,
          .memory_bytes = usage ? usage->memory_bytes : 0,
          .disk_bytes = DiskUsage(listed.key)};
}

api::SandboxMetrics Sandboxes::MetricsOf(const Listed& listed) {
  api::SandboxMetrics metrics;
  metrics.namespace_ = listed.key.namespace_;
  metrics.name = listed.key.name;
  metrics.running = listed.running();
  metrics.disk_usage = DiskUsage(listed.key);
  if (!metrics.running) return metrics;
  const Measurement measured = Measure(listed);
  metrics.memory_usage = measured.memory_bytes >> 20;
  metrics.cpu_usage = Percent(*listed.state, measured.cpu_us);
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

uint64_t Sandboxes::DiskUsage(const SandboxKey& key) const {
  const auto directory = storage_.OpenDirectory(key, /*create=*/false);
  struct stat status;
  if (!directory ||
      ::fstatat(directory->get(), image::kDiskFile, &status, AT_SYMLINK_NOFOLLOW) < 0) {
    return 0;
  }
  return static_cast<uint64_t>(status.st_blocks) * kBlockBytes;
}

}  // namespace msb::server
