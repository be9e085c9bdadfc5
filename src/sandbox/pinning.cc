#include "src/sandbox/pinning.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/affinity.h"
#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

// Twice a jail's largest RLIMIT_NPROC (BoundsFor): whoever forks faster than this walks stays where
// it is.
constexpr size_t kMaxProcesses = 16384;
constexpr size_t kMaxChildrenText = 1024 * 1024;

// Decimal numbers, separated by single spaces.
std::vector<pid_t> ParseNumbers(std::string_view text) {
  std::vector<pid_t> numbers;
  while (!text.empty()) {
    pid_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) break;
    numbers.push_back(number);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (text.starts_with(' ')) text.remove_prefix(1);
  }
  return numbers;
}

// Appends the children of all threads of `process` once these are pinned.
base::Status PinThreads(pid_t process, int cpu, std::vector<pid_t>& children) {
  const std::string path = fmt::format("/proc/{}/task", process);
  const auto tasks = base::OpenFile(path, O_RDONLY | O_DIRECTORY);
  if (!tasks) return {};  // it has ended
  const auto threads = base::ListDirectory(tasks->get());
  if (!threads) return {};
  for (const std::string& thread : *threads) {
    for (const pid_t number : ParseNumbers(thread)) {
      const base::Status pinned = base::SetAllowedCpus(number, {cpu});
      if (!pinned && pinned.error().sys_errno() != ESRCH) return pinned;
    }
    const auto text = base::ReadFileAt(tasks->get(), thread + "/children", kMaxChildrenText);
    if (!text) continue;
    const std::vector<pid_t> found = ParseNumbers(*text);
    children.insert(children.end(), found.begin(), found.end());
  }
  return {};
}

}  // namespace

base::Status PinProcesses(pid_t root, int cpu) {
  if (::access("/proc/thread-self/children", R_OK) < 0) {
    return base::Fail(base::ErrorCode::kUnsupported,
                      "this kernel does not list the children of a process (CONFIG_PROC_CHILDREN)");
  }
  std::vector<pid_t> processes = {root};
  for (size_t next = 0; next < processes.size(); ++next) {
    if (next == kMaxProcesses) {
      return base::Fail(base::ErrorCode::kLimit, "there are too many processes to move");
    }
    TRY(PinThreads(processes[next], cpu, processes));
  }
  return {};
}

}  // namespace msb::sandbox
