#include "src/sandbox/run_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/sandbox/names.h"

namespace msb::sandbox {
namespace {

constexpr const char* kParentLock = ".lock";
constexpr const char* kReserveFile = "reserve";

}  // namespace

bool IsSandboxId(std::string_view name) {
  constexpr size_t kDigits = 32;
  return name.size() == kDigits &&
         name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsGarbage(int parent_fd, const std::string& id) {
  const auto directory = base::OpenFileAt(parent_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return directory.error().code() == base::ErrorCode::kNotFound;
  const auto held = IsRunLockHeld(directory->get());
  // Without a lock file: its creator died between its steps (it holds `.lock` for all of them).
  if (!held) return held.error().code() == base::ErrorCode::kNotFound;
  if (*held) return false;
  const auto state = ReadState(directory->get());
  return !state || !state->detached;
}

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

base::Result<base::UniqueFd> RunDirectory::OpenParentLock(int parent_fd) {
  return base::OpenFileAt(parent_fd, kParentLock, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
}

base::Result<RunDirectory> RunDirectory::Create(const std::string& id, const std::string& name) {
  RunDirectory run;
  base::UniqueFd parent = TRY(OpenParent());
  const base::UniqueFd parent_lock = TRY(OpenParentLock(parent.get()));
  TRY(base::WaitLock(parent_lock.get(),
                     name.empty() ? base::LockMode::kShared : base::LockMode::kExclusive));
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
      TRY(base::OpenFileAt(run.directory_.get(), kLockFile, O_RDONLY | O_CREAT | O_EXCL, 0600));
  TRY(base::TryLock(run.lock_.get(), base::LockMode::kShared));
  if (!name.empty()) TRY(run.TakeName(name));
  return run;
}

base::Status RunDirectory::TakeName(const std::string& name) {
  constexpr int kAttempts = 8;
  const bool made_up = name == kMakeUp;
  if (!made_up && !IsFullName(name)) {
    return base::Fail(base::ErrorCode::kInvalid, "{}: not a sandbox's name", name);
  }
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    name_ = made_up ? MakeUpName(/*salted=*/attempt > 0) : name;
    base::Status reserved = ReserveName(parent_.get(), name_, id_);
    if (reserved || reserved.error().code() != base::ErrorCode::kExists) return reserved;
    const auto holder = LookUpName(parent_.get(), name_);
    if (holder && IsGarbage(parent_.get(), *holder)) {
      (void)base::RemoveTreeAt(parent_.get(), *holder);
      ReleaseName(parent_.get(), name_, *holder);
    } else if (!made_up) {
      break;
    }
  }
  return base::Fail(base::ErrorCode::kExists,
                    "a sandbox {} exists: take another name, or end and remove it (msb stop {}; "
                    "msb rm {})",
                    name_, name_, name_);
}

RunDirectory::~RunDirectory() {
  if (!parent_) return;
  if (!name_.empty()) ReleaseName(parent_.get(), name_, id_);
  const base::Status removed = base::RemoveTreeAt(parent_.get(), id_);
  if (!removed) LOG(kWarning, "cannot remove run directory {}: {}", id_, removed.error().message());
}

void RunDirectory::ReserveRoom(const State& state) const {
  constexpr size_t kEndBytes = 64 * 1024;  // what the end adds, at most
  const size_t bytes = base::json::Write(state).size() + kEndBytes;
  const auto file = base::OpenFileAt(directory_.get(), kReserveFile, O_WRONLY | O_CREAT, 0600);
  if (file) (void)::posix_fallocate(file->get(), 0, static_cast<off_t>(bytes));
}

void RunDirectory::ReleaseRoom() const { ::unlinkat(directory_.get(), kReserveFile, 0); }

base::Status RunDirectory::WriteState(const State& state) const {
  return base::ReplaceFileAt(directory_.get(), kStateFile, base::json::Write(state), 0600,
                             /*durable=*/false)
      .WithContext("the sandbox's run directory");
}

void SweepRunDirectories() {
  const auto parent = RunDirectory::OpenParent();
  if (!parent) return;
  const auto names = base::ListDirectory(parent->get());
  if (!names) return;
  base::UniqueFd lock;
  for (const std::string& id : *names) {
    if (!IsSandboxId(id) || !IsGarbage(parent->get(), id)) continue;
    if (!lock) {
      auto parent_lock = RunDirectory::OpenParentLock(parent->get());
      if (!parent_lock || !base::TryLock(parent_lock->get(), base::LockMode::kExclusive)) return;
      lock = *std::move(parent_lock);
      if (!IsGarbage(parent->get(), id)) continue;
    }
    const base::Status removed = base::RemoveTreeAt(parent->get(), id);
    if (!removed) LOG(kDebug, "cannot sweep {}: {}", id, removed.error().message());
  }
  if (lock) ReleaseDeadNames(parent->get());
}

}  // namespace msb::sandbox
