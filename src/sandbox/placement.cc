#include "src/sandbox/placement.h"

#include <sched.h>

#include <vector>

#include "src/base/sys.h"

namespace msb::sandbox {

std::optional<int> ChooseCpu() {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) < 0) return std::nullopt;
  const int current = ::sched_getcpu();
  std::vector<int> choices;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &allowed) && cpu != current) choices.push_back(cpu);
  }
  if (choices.empty()) return current >= 0 ? std::optional(current) : std::nullopt;
  uint8_t random;
  base::FillRandom(std::span(&random, 1));
  return choices[random % choices.size()];
}

}  // namespace msb::sandbox
