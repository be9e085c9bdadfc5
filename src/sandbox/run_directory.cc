#include "src/sandbox/run_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

constexpr const char* kParentLock = ".lock";

base::Result<base::UniqueFd> OpenParentLock(int parent) {
  return base::OpenFileAt(parent, kParentLock, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
}

// True if the directory's owner is dead.
bool IsDead(int parent, const std::string& name) {
  const auto lock = base::OpenBeneath(parent, name + "/lock", O_RDONLY | O_NOFOLLOW);
  // Without a lock file: a creator died between its two steps (it holds the parent's lock for
  // both).
  if (!lock) return lock.error().code() == base::ErrorCode::kNotFound;
  const auto held = base::IsLocked(lock->get());
  return held.has_value() && !*held;
}

}  // namespace

base::Result<base::UniqueFd> RunDirectory::OpenParent() {
  std::string path = "/run/msb";
  if (::geteuid() != 0) {
    const std::string home = TRY(base::ResolveHome());
    TRY(base::OpenHome(home, base::HomeMode::kCreate));
    path = home + "/run";
  }
  TRY(base::MakeDirectories(path, 0700));
  base::UniqueFd parent = TRY(base::OpenFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const struct stat status = TRY(base::Stat(parent.get()));
  if (status.st_uid != ::geteuid() || (status.st_mode & 022) != 0) {
    return base::Fail(base::ErrorCode::kDenied,
                      "{} must belong to this user and be writable by nobody else", path);
  }
  return parent;
}

base::Result<RunDirectory> RunDirectory::Create(const std::string& id) {
  RunDirectory run;
  base::UniqueFd parent = TRY(OpenParent());
  const base::UniqueFd parent_lock = TRY(OpenParentLock(parent.get()));
  TRY(base::WaitLock(parent_lock.get(), base::LockMode::kShared));
  if (::mkdirat(parent.get(), id.c_str(), 0700) < 0) {
    return base::FailErrno("cannot create the sandbox's run directory");
  }
  run.id_ = id;
  run.parent_ = std::move(parent);
  run.directory_ =
      TRY(base::OpenFileAt(run.parent_.get(), id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  // Read-only, since jail A inherits it, and hence a shared lock: mkdirat above has made sure that
  // nobody else takes one.
  run.lock_ =
      TRY(base::OpenFileAt(run.directory_.get(), "lock", O_RDONLY | O_CREAT | O_EXCL, 0600));
  TRY(base::TryLock(run.lock_.get(), base::LockMode::kShared));
  return run;
}

RunDirectory::~RunDirectory() {
  if (!parent_) return;
  const base::Status removed = base::RemoveTreeAt(parent_.get(), id_);
  if (!removed) LOG(kWarning, "cannot remove run directory {}: {}", id_, removed.error().message());
}

base::Status RunDirectory::WriteState(const State& state) const {
  return base::ReplaceFileAt(directory_.get(), "state.json", base::json::Write(state), 0600,
                             /*durable=*/false);
}

void SweepRunDirectories() {
  const auto parent = RunDirectory::OpenParent();
  if (!parent) return;
  const auto names = base::ListDirectory(parent->get());
  if (!names) return;
  for (const std::string& name : *names) {
    if (name.starts_with('.') || name == "uid" || !IsDead(parent->get(), name)) continue;
    const auto parent_lock = OpenParentLock(parent->get());
    if (!parent_lock || !base::TryLock(parent_lock->get(), base::LockMode::kExclusive)) return;
    if (!IsDead(parent->get(), name)) continue;
    const base::Status removed = base::RemoveTreeAt(parent->get(), name);
    if (!removed) LOG(kDebug, "cannot sweep {}: {}", name, removed.error().message());
  }
}

}  // namespace msb::sandbox
