#include "src/server/inventory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <utility>

#include "src/sandbox/persistent_disk.h"

namespace msb::server {
namespace {

constexpr uint64_t kBlockBytes = 512;  // of st_blocks

// The names are those of all of this user's servers; what is ours runs on our disk.
bool IsOurs(const Storage& storage, const SandboxKey& key, const sandbox::State& state) {
  return state.disk_path == storage.DiskPathOf(key);
}

uint64_t DiskUsage(const Storage& storage, const SandboxKey& key) {
  const auto directory = storage.OpenDirectory(key, /*create=*/false);
  struct stat status;
  if (!directory ||
      ::fstatat(directory->get(), image::kDiskFile, &status, AT_SYMLINK_NOFOLLOW) < 0) {
    return 0;
  }
  return static_cast<uint64_t>(status.st_blocks) * kBlockBytes;
}

}  // namespace

base::Result<std::vector<Listed>> ListSandboxes(const Storage& storage, std::string_view name_space,
                                                Measuring measuring) {
  std::map<SandboxKey, Listed> found;
  const auto wanted = [&](const SandboxKey& key) {
    return name_space == "*" || name_space == key.namespace_;
  };
  for (const SandboxKey& key : TRY(storage.List())) {
    if (!wanted(key)) continue;
    auto stored = storage.Load(key);
    if (!stored && stored.error().code() == base::ErrorCode::kNotFound) continue;  // just removed
    found[key] = {.key = key,
                  .stored = stored ? std::optional(*std::move(stored)) : std::nullopt,
                  .state = {}};
  }
  for (sandbox::State& state : TRY(sandbox::ListSandboxes(/*ended_too=*/true))) {
    const size_t slash = state.name.find('/');
    if (slash == std::string::npos) continue;
    const SandboxKey key{state.name.substr(0, slash), state.name.substr(slash + 1)};
    if (!wanted(key) || !IsOurs(storage, key, state)) continue;
    const bool ended = state.phase == sandbox::Phase::kEnded;
    if (ended && !found.contains(key)) continue;
    const bool is_new = !found.contains(key);
    Listed& listed = found[key];
    listed.key = key;
    listed.state = std::move(state);
    if (!is_new) continue;  // else just started
    if (auto stored = storage.Load(key)) listed.stored = *std::move(stored);
  }
  std::vector<Listed> list;
  for (auto& [key, listed] : found) {
    listed.disk_bytes = DiskUsage(storage, key);
    if (measuring == Measuring::kYes && listed.running()) {
      listed.usage = sandbox::ReadUsage(*listed.state).value_or(sandbox::Usage());
    }
    list.push_back(std::move(listed));
  }
  return list;
}

std::optional<sandbox::FoundSandbox> LastRun(const Storage& storage, const SandboxKey& key) {
  auto found = sandbox::FindSandbox(key.FullName());
  if (!found || !IsOurs(storage, key, found->state)) return std::nullopt;
  return *std::move(found);
}

}  // namespace msb::server
