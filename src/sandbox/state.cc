#include "src/sandbox/state.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/sandbox/further_program.h"

namespace msb::sandbox {
namespace {

constexpr size_t kMaxState = kMaxMonitorMessage + 64 * 1024;

}  // namespace

base::Result<bool> IsRunLockHeld(int run_directory_fd) {
  const base::UniqueFd lock =
      TRY(base::OpenFileAt(run_directory_fd, kLockFile, O_RDONLY | O_NOFOLLOW));
  return base::IsLocked(lock.get());
}

namespace {

base::Result<State> ReadRecord(int run_directory_fd) {
  const std::string text = TRY(base::ReadFileAt(run_directory_fd, kStateFile, kMaxState));
  State state = TRY(base::json::Parse<State>(text));
  if (state.boot_id != TRY(base::BootId())) {
    return base::Fail(base::ErrorCode::kNotFound, "sandbox {} ended with an earlier boot",
                      state.name);
  }
  // Of a sandbox that an earlier msb started.
  if (state.version < 3 && state.program) state.defaults = DefaultsOf(*state.program);
  return state;
}

}  // namespace

base::Result<State> ReadState(int run_directory_fd) {
  State state = TRY(ReadRecord(run_directory_fd));
  if (state.phase == Phase::kEnded) return state;
  const auto held = IsRunLockHeld(run_directory_fd);
  if (held && *held && IsAlive(state.monitor)) return state;
  // An end is written down before the lock is let go: what is there now is the last word.
  state = TRY(ReadRecord(run_directory_fd));
  if (state.phase == Phase::kEnded) return state;
  state.phase = Phase::kEnded;
  state.ended = Ended{EndReason::kVmmEnded, "the sandbox's monitor was killed", {}, 125, {}};
  return state;
}

HostProcess DescribeProcess(pid_t pid) {
  const auto start_time = base::ProcessStartTime(pid);
  return start_time ? HostProcess{pid, *start_time} : HostProcess{};
}

bool IsAlive(const HostProcess& process) {
  if (process.pid <= 0) return false;
  const auto stat = base::ReadFile(fmt::format("/proc/{}/stat", process.pid), 4096);
  if (!stat) return false;
  const size_t name_end = stat->rfind(") ");
  const bool zombie = name_end != std::string::npos && stat->substr(name_end + 2, 1) == "Z";
  const auto start_time = base::ProcessStartTime(process.pid);
  return !zombie && start_time && *start_time == process.start_time;
}

base::Status Kill(const HostProcess& process) {
  const auto pid_fd = base::PidFdOpen(process.pid);
  // Looked at after the descriptor was opened: it is this process, or one that has ended.
  if (!pid_fd || !IsAlive(process)) return {};
  return base::PidFdSignal(pid_fd->get(), SIGKILL);
}

int64_t WallClockMs() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace msb::sandbox
