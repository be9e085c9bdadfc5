#include "src/sandbox/usage.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

// More than this many processes are a guest's trick; the rest is not counted.
constexpr size_t kMaxProcesses = 4096;
constexpr int kAttempts = 3;

std::optional<std::string> ReadProc(pid_t pid, std::string_view file) {
  auto text = base::ReadFile(fmt::format("/proc/{}/{}", pid, file), 64 * 1024);
  if (!text) return std::nullopt;
  return *std::move(text);
}

uint64_t NumberAt(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  uint64_t number = 0;
  std::from_chars(text.data() + begin, text.data() + text.size(), number);
  return number;
}

struct Times {
  uint64_t ticks = 0;  // its own, and of its children that it has waited for
  uint64_t start_time = 0;
};

// proc(5), /proc/PID/stat: utime, stime, cutime, cstime are fields 14 to 17, starttime is 22.
std::optional<Times> ReadTimes(pid_t pid) {
  const auto stat = ReadProc(pid, "stat");
  if (!stat) return std::nullopt;
  // The name (field 2) may hold blanks and parentheses: what follows the last ')' counts.
  size_t at = stat->rfind(')');
  Times times;
  for (int field = 3; field <= 22 && at != std::string::npos; ++field) {
    at = stat->find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
    const uint64_t value = NumberAt(std::string_view(*stat).substr(at));
    if (field >= 14 && field <= 17) times.ticks += value;
    if (field == 22) times.start_time = value;
  }
  return times;
}

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  const auto text = ReadProc(pid, fmt::format("task/{}/children", pid));
  std::string_view left = text ? std::string_view(*text) : std::string_view();
  while (!left.empty() && children.size() < kMaxProcesses) {
    const size_t end = std::min(left.find(' '), left.size());
    children.push_back(static_cast<pid_t>(NumberAt(left.substr(0, end))));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return children;
}

// Of a line of /proc/PID/status ("RssAnon:	     120 kB").
uint64_t KilobytesOf(std::string_view status, std::string_view key) {
  const size_t at = status.find(key);
  return at == std::string_view::npos ? 0 : NumberAt(status.substr(at + key.size()));
}

// A pass over the processes: monitor, msb-vmm, msb-jail-init, the guest kernel, which is its child,
// and that one's children, in which the guest's processes run.
class Pass {
 public:
  explicit Pass(const State& state) {
    AddOwn(state.monitor.pid, state.monitor.start_time);
    AddOwn(state.vmm.pid, state.vmm.start_time);
    if (!AddOwn(state.guest.pid, state.guest.start_time)) return;
    for (const pid_t kernel : ChildrenOf(state.guest.pid)) {
      if (!AddOwn(kernel)) continue;
      // These have nothing but guest memory.
      for (const pid_t process : ChildrenOf(kernel)) AddTimes(process);
    }
  }

  bool complete() const { return complete_; }
  uint64_t ticks() const { return ticks_; }
  // Guest memory is one file, which the guest kernel and msb-vmm both map: the larger part that one
  // of them has touched is as good as all that was.
  uint64_t memory_kib() const { return private_kib_ + shared_kib_; }

 private:
  bool AddTimes(pid_t pid, uint64_t start_time = 0) {
    const auto times = ReadTimes(pid);
    const bool same = times && (start_time == 0 || times->start_time == start_time);
    if (same) ticks_ += times->ticks;
    complete_ = complete_ && same;
    return same;
  }

  bool AddOwn(pid_t pid, uint64_t start_time = 0) {
    if (!AddTimes(pid, start_time)) return false;
    const auto status = ReadProc(pid, "status");
    if (!status) return false;
    private_kib_ += KilobytesOf(*status, "\nRssAnon:");
    shared_kib_ = std::max(shared_kib_, KilobytesOf(*status, "\nRssShmem:"));
    return true;
  }

  uint64_t ticks_ = 0;
  uint64_t private_kib_ = 0;
  uint64_t shared_kib_ = 0;
  bool complete_ = true;
};

std::optional<uint64_t> DiskBytes(const std::string& path) {
  struct stat status;
  if (path.empty() || ::lstat(path.c_str(), &status) < 0) return std::nullopt;
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

}  // namespace

std::optional<Usage> ReadUsage(const State& state) {
  if (state.phase == Phase::kEnded || !IsAlive(state.monitor)) return std::nullopt;
  Pass pass(state);
  // A process that ended between the look at its parent and that at itself is in neither.
  for (int attempt = 1; !pass.complete() && attempt < kAttempts; ++attempt) pass = Pass(state);
  static const auto kTick_us = static_cast<uint64_t>(1'000'000 / ::sysconf(_SC_CLK_TCK));
  return Usage{.cpu_us = pass.ticks() * kTick_us,
               .memory_bytes = pass.memory_kib() * 1024,
               .disk_bytes = DiskBytes(state.disk_path)};
}

}  // namespace msb::sandbox
