// Processes, limits, randomness, clocks. See sys.h.
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

#include "src/base/retry.h"
#include "src/base/sys.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace msb::base {

Result<UniqueFd> PidFdOpen(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return FailErrno("cannot open process {}", pid);
  return fd;
}

Status PidFdSignal(int pid_fd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pid_fd, signal, nullptr, 0) < 0) {
    return FailErrno("cannot signal a process");
  }
  return {};
}

namespace {

Result<std::optional<ExitStatus>> Wait(int pid_fd, int flags) {
  siginfo_t info = {};
  if (Retry([&] {
        return ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pid_fd), &info,
                        WEXITED | flags);
      }) < 0) {
    return FailErrno("cannot wait for a process");
  }
  if (info.si_pid == 0) return std::optional<ExitStatus>();
  return std::optional(ExitStatus{info.si_code != CLD_EXITED, info.si_status});
}

}  // namespace

Result<ExitStatus> WaitPidFd(int pid_fd) { return *TRY(Wait(pid_fd, 0)); }
Result<std::optional<ExitStatus>> TryWaitPidFd(int pid_fd) { return Wait(pid_fd, WNOHANG); }

Result<uint64_t> ProcessStartTime(pid_t pid) {
  const std::string stat = TRY(ReadFile(fmt::format("/proc/{}/stat", pid), 4096));
  // The command name (field 2) may hold blanks and parentheses: count from the last ')'.
  size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return Fail(ErrorCode::kCorrupt, "/proc/{}/stat is short", pid);
  return std::strtoull(stat.c_str() + at + 1, nullptr, 10);
}

Result<std::string> BootId() {
  std::string id = TRY(ReadFile("/proc/sys/kernel/random/boot_id", 64));
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

void RaiseOpenFileLimit() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void FillRandom(std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = Retry([&] { return ::getrandom(out.data(), out.size(), 0); });
    CHECK(got > 0);
    out = out.subspan(static_cast<size_t>(got));
  }
}

std::string RandomHex(size_t bytes) {
  std::vector<uint8_t> data(bytes);
  FillRandom(data);
  std::string out;
  for (const uint8_t byte : data) out += fmt::format("{:02x}", byte);
  return out;
}

namespace {

int64_t Nanos(clockid_t clock) {
  timespec now;
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

int64_t MonotonicNanos() { return Nanos(CLOCK_MONOTONIC); }
int64_t BootTimeNanos() { return Nanos(CLOCK_BOOTTIME); }

}  // namespace msb::base
