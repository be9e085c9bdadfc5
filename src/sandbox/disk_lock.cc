#include "src/sandbox/disk_lock.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include <optional>

#include "src/base/sys.h"
#include "src/sandbox/catalog.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;
using base::Fail;

// A process that was killed is gone within this, unless it waits for a disk that does not answer.
constexpr int kLeftoverMs = 10'000;

// The last sandbox started on it: of those that have ended at most a leftover has it still.
base::Result<std::optional<State>> FindHolder(const std::string& path) {
  std::optional<State> holder;
  for (State& state : TRY(ListSandboxes(/*ended_too=*/true))) {
    if (state.disk_path == path) holder = std::move(state);
  }
  return holder;
}

// Its files are closed when the last of its threads has ended, which is when its descriptor becomes
// readable: its first thread may be a zombie (not IsAlive) while another still flushes.
void AwaitLeftover(const HostProcess& process) {
  const auto pid_fd = base::PidFdOpen(process.pid);
  if (!pid_fd || DescribeProcess(process.pid).start_time != process.start_time) return;
  (void)base::PidFdSignal(pid_fd->get(), SIGKILL);
  pollfd end = {pid_fd->get(), POLLIN, 0};
  while (::poll(&end, 1, kLeftoverMs) < 0 && errno == EINTR) {
  }
}

base::Status TakeFromLeftover(int disk_fd, const std::string& path) {
  const std::optional<State> holder = TRY(FindHolder(path));
  if (holder && holder->phase != Phase::kEnded) {
    return Fail(ErrorCode::kBusy, "the disk {} is in use by sandbox {}: stop that first", path,
                holder->name);
  }
  if (holder) AwaitLeftover(holder->vmm);
  const base::Status taken = base::TryLock(disk_fd, base::LockMode::kExclusive);
  if (taken || taken.error().code() != ErrorCode::kBusy) return taken;
  return Fail(ErrorCode::kBusy, "the disk {} is in use by a sandbox that is just being started",
              path);
}

base::Status CheckName(int disk_fd, const std::string& path) {
  const struct stat ours = TRY(base::Stat(disk_fd));
  struct stat named;
  const bool same = ::lstat(path.c_str(), &named) == 0 && named.st_dev == ours.st_dev &&
                    named.st_ino == ours.st_ino;
  if (same) return {};
  return Fail(ErrorCode::kBusy, "the disk {} was replaced meanwhile: try again", path);
}

}  // namespace

base::Status LockDisk(int disk_fd, const std::string& path) {
  base::Status taken = base::TryLock(disk_fd, base::LockMode::kExclusive);
  if (!taken && taken.error().code() == ErrorCode::kBusy) taken = TakeFromLeftover(disk_fd, path);
  TRY(std::move(taken));
  return CheckName(disk_fd, path);
}

}  // namespace msb::sandbox
