#include "src/sandbox/catalog.h"

#include <fcntl.h>

#include <algorithm>

#include "src/base/sys.h"
#include "src/sandbox/names.h"
#include "src/sandbox/run_directory.h"

namespace msb::sandbox {
namespace {

constexpr size_t kLeastPrefix = 8;

base::Error NoSandbox(const std::string& name) {
  return base::Fail(base::ErrorCode::kNotFound, "there is no sandbox {} (msb ps -a lists them)",
                    base::EscapeForTerminal(name));
}

// It has gone, or never was; anything else is not the name's fault.
base::Error OrNoSandbox(const base::Error& error, const std::string& name) {
  const bool gone = error.code() == base::ErrorCode::kNotFound ||
                    error.code() == base::ErrorCode::kInvalid;  // a record that is none
  return gone ? NoSandbox(name) : error;
}

// One that has ended may be held for a moment more: by its monitor, which has written that down and
// is about to go, or by what a killed monitor left, which is killed here.
base::Status AwaitRelease(const FoundSandbox& found) {
  if (found.state.phase != Phase::kEnded) return {};
  if (!IsAlive(found.state.monitor)) {
    (void)Kill(found.state.vmm);
    (void)Kill(found.state.guest);
  }
  const base::UniqueFd lock =
      TRY(base::OpenFileAt(found.directory.get(), kLockFile, O_RDWR | O_NOFOLLOW));
  return base::WaitLock(lock.get(), base::LockMode::kExclusive);
}

base::Result<base::UniqueFd> OpenDirectoryOf(int parent_fd, const std::string& id) {
  return base::OpenFileAt(parent_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

base::Result<std::string> IdOf(int parent_fd, const std::string& name) {
  if (auto id = LookUpName(parent_fd, name)) return id;
  if (name.size() < kLeastPrefix) return NoSandbox(name);
  std::string found;
  for (const std::string& id : TRY(base::ListDirectory(parent_fd))) {
    if (!IsSandboxId(id) || !id.starts_with(name)) continue;
    if (!found.empty()) {
      return base::Fail(base::ErrorCode::kInvalid, "{}: several sandboxes' ids begin with it",
                        name);
    }
    found = id;
  }
  if (found.empty()) return NoSandbox(name);
  return found;
}

}  // namespace

base::Result<FoundSandbox> FindSandbox(const std::string& name) {
  const base::UniqueFd parent = TRY(RunDirectory::OpenParent());
  const std::string id = TRY(IdOf(parent.get(), name));
  FoundSandbox found;
  auto directory = OpenDirectoryOf(parent.get(), id);
  if (!directory) return OrNoSandbox(directory.error(), name);
  found.directory = *std::move(directory);
  auto state = ReadState(found.directory.get());
  if (!state) return OrNoSandbox(state.error(), name);
  found.state = *std::move(state);
  return found;
}

base::Result<std::vector<State>> ListSandboxes(bool ended_too) {
  const base::UniqueFd parent = TRY(RunDirectory::OpenParent());
  std::vector<State> states;
  for (const std::string& id : TRY(base::ListDirectory(parent.get()))) {
    if (!IsSandboxId(id)) continue;
    const auto directory = OpenDirectoryOf(parent.get(), id);
    if (!directory) continue;  // it has just gone
    auto state = ReadState(directory->get());
    if (!state || (state->phase == Phase::kEnded && !(ended_too && state->detached))) continue;
    states.push_back(*std::move(state));
  }
  std::ranges::sort(states, {}, [](const State& s) { return std::pair(s.created_ms, s.id); });
  return states;
}

base::Result<std::string> RemoveSandbox(const std::string& name) {
  TRY(AwaitRelease(TRY(FindSandbox(name))));
  const base::UniqueFd parent = TRY(RunDirectory::OpenParent());
  const base::UniqueFd lock = TRY(RunDirectory::OpenParentLock(parent.get()));
  TRY(base::WaitLock(lock.get(), base::LockMode::kExclusive));
  const FoundSandbox found = TRY(FindSandbox(name));
  const auto held = IsRunLockHeld(found.directory.get());
  if (found.state.phase != Phase::kEnded || (held && *held)) {
    return base::Fail(base::ErrorCode::kBusy, "sandbox {} runs: end it first (msb stop {})",
                      found.state.name, found.state.name);
  }
  ReleaseName(parent.get(), found.state.name, found.state.id);
  TRY(base::RemoveTreeAt(parent.get(), found.state.id));
  return found.state.name;
}

}  // namespace msb::sandbox
