#include "src/server/launch_preparation.h"

#include "src/agent/client/attachment.h"
#include "src/base/bytes.h"
#include "src/image/store.h"
#include "src/sandbox/catalog.h"
#include "src/sandbox/persistent_disk.h"
#include "src/server/config.h"
#include "src/server/inventory.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr const char* kScriptsDirectory = "/.sandbox/scripts";

// The program that the sandbox is started with, if there is one.
std::optional<std::string> StartScript(const api::Config& config) {
  if (config.exec) return config.exec;
  const auto start = config.scripts.find("start");
  if (start != config.scripts.end()) return start->second;
  return std::nullopt;
}

// As files, for the programs of the sandbox to call.
std::vector<agent::GivenFile> ScriptsOf(const api::Config& config) {
  std::vector<agent::GivenFile> files;
  for (const auto& [name, script] : config.scripts) {
    const std::string text =
        script.starts_with("#!") ? script : fmt::format("#!{}\n{}\n", *config.shell, script);
    files.push_back(
        {.path = fmt::format("{}/{}", kScriptsDirectory, name), .content = text, .mode = 0755});
  }
  return files;
}

std::vector<base::Bytes> BytesOf(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

base::Status CheckImageAllowed(const Caller& caller, const std::string& image) {
  if (IsImageAllowed(caller.images, image)) return {};
  return Fail(ErrorCode::kDenied, "this key may not use image {} (server keygen --allow-image)",
              base::EscapeForTerminal(image));
}

// So that it is said in the API's words; OpenPersistentDisk looks again.
base::Status CheckDiskImage(int directory_fd, const SandboxKey& key,
                            const image::RunnableImage& image) {
  constexpr size_t kDigest = sizeof("sha256:") + 11;  // enough to tell two of one name apart
  const auto record = image::ReadDiskRecord(directory_fd);
  if (!record || record->image_uuid == image.uuid) return {};
  return Fail(ErrorCode::kInvalid,
              "the disk of sandbox {} was made over image {} ({}) and cannot be used over {} ({}): "
              "start it with that image, or with reset: true, which loses all files on it",
              key.name, record->image, record->manifest_digest.substr(0, kDigest), image.name,
              image.digest.substr(0, kDigest));
}

base::Result<sandbox::LaunchPlan> Plan(const Storage& storage, const std::string& home,
                                       const SandboxKey& key, const api::Config& config, bool reset,
                                       const Caller& caller) {
  const image::Store store = TRY(image::Store::Open(home));
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
  const base::UniqueFd directory = TRY(storage.OpenDirectory(key, /*create=*/true));
  if (!reset) TRY(CheckDiskImage(directory.get(), key, image));
  const auto open_disk = reset ? sandbox::ResetPersistentDisk : sandbox::OpenPersistentDisk;
  sandbox::PersistentDisk disk = TRY(open_disk(storage.PathOf(key), image, DiskBytes(config)));
  TRY(store.CheckStill(image));
  if (disk.bytes != DiskBytes(config)) {
    return Fail(ErrorCode::kInvalid,
                "config.disk: the disk of sandbox {} has {} MiB, not {}: start it with that, or "
                "with reset, which forgets what is on it",
                key.name, disk.bytes >> 20, DiskBytes(config) >> 20);
  }
  sandbox::LaunchPlan plan =
      TRY(sandbox::PlanLaunch(std::move(image), options, home, std::move(disk)));
  plan.spec.ends_with_program = false;
  plan.spec.defaults = sandbox::DefaultsOf(image_config, {.env = BytesOf(config.envs),
                                                          .workdir = config.workdir.value_or(""),
                                                          .user = config.user.value_or("")});
  plan.spec.defaults.create_cwd = true;  // nobody could make it before
  plan.spec.configure.files = ScriptsOf(config);
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

}  // namespace

bool IsSameImage(const std::string& home, const std::string& image, const std::string& other) {
  if (IsSameName(image, other)) return true;
  const auto store = image::Store::Open(home);
  if (!store) return false;
  const auto first = store->Find(image);
  const auto second = store->Find(other);
  return first && second && first->manifest.digest == second->manifest.digest;
}

base::Result<sandbox::LaunchPlan> PrepareLaunch(const Storage& storage, const std::string& home,
                                                const SandboxKey& key, const api::Config& config,
                                                bool reset, const Caller& caller) {
  sandbox::LaunchPlan plan = TRY(Plan(storage, home, key, config, reset, caller));
  const auto left = sandbox::RemoveSandbox(key.FullName());  // of its last run
  if (!left && left.error().code() == ErrorCode::kBusy) {
    return Fail(ErrorCode::kExists,
                "a sandbox {} of another server on this host runs already (msb ps)",
                key.FullName());
  }
  TRY(storage.Save(key, {.config = config, .key_id = caller.key_id}));
  return plan;
}

void UndoLaunch(const Storage& storage, const SandboxKey& key, const Before& before, bool reset) {
  const auto run = LastRun(storage, key);
  if (run && run->state.phase != sandbox::Phase::kEnded) return;  // it could not be stopped again
  // What fails here was removed by somebody else, or is tried again by the next start.
  if (!before.directory) {
    (void)sandbox::RemoveSandbox(key.FullName());
    (void)storage.Remove(key);
  } else if (before.stored && !reset) {  // a disk that was reset is the new configuration's
    (void)storage.Save(key, *before.stored);
  }
}

}  // namespace msb::server
