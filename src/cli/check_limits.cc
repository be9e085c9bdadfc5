#include <sys/resource.h>

#include <algorithm>

#include "src/cli/command_line.h"
#include "src/cli/findings.h"
#include "src/jail/jail.h"
#include "src/sandbox/guest_kernel.h"

namespace msb::cli {
namespace {

constexpr uint64_t kMiB = 1 << 20;

struct Need {
  int resource;
  uint64_t least;
  const char* what;
};

// Of a sandbox with the default memory and disk. The jails lower their limits to what they need,
// which they may only do from above.
std::vector<Need> Needs() {
  const ExeOptions defaults;
  const sandbox::ProcessBounds bounds = sandbox::BoundsFor(defaults.memory_bytes);
  return {
      {RLIMIT_NOFILE, std::max<uint64_t>(4096, 64 + 2 * bounds.processes), "open files"},
      {RLIMIT_NPROC, bounds.processes, "processes"},
      {RLIMIT_FSIZE, std::max(defaults.disk_bytes, defaults.memory_bytes + 64 * kMiB),
       "bytes in a file: disks and guest memory are files"},
      {RLIMIT_AS, defaults.memory_bytes + 512 * kMiB, "bytes of address space"},
      {RLIMIT_DATA, std::max(bounds.data_bytes, 128 * kMiB), "bytes of private memory"},
      {RLIMIT_STACK, 8 * kMiB, "bytes of stack"},
      {RLIMIT_SIGPENDING, 64, "queued signals"},
  };
}

uint64_t HardLimit(int resource) {
  rlimit now = {};
  const bool known = ::getrlimit(static_cast<__rlimit_resource_t>(resource), &now) == 0;
  return known ? now.rlim_max : RLIM_INFINITY;
}

}  // namespace

Finding CheckHostLimits() { return CheckHostLimits(HardLimit); }

Finding CheckHostLimits(const std::function<uint64_t(int resource)>& hard) {
  std::string text;
  std::string fix;
  for (const Need& need : Needs()) {
    const uint64_t have = hard(need.resource);
    if (have >= need.least) continue;
    const jail::LimitText name = jail::TextOfLimit(need.resource);
    text += fmt::format("{}{} is {}, a sandbox needs {} ({})", text.empty() ? "" : "; ", name.name,
                        have, need.least, need.what);
    fix += fmt::format("{}ulimit -H {} unlimited", fix.empty() ? "" : ", ", name.ulimit);
  }
  if (text.empty()) {
    return {"host limits", Verdict::kOk, "leave room for a sandbox (files, processes, memory)", ""};
  }
  return {"host limits", Verdict::kMissing, text,
          fix +
              "   (as root, before this shell: /etc/security/limits.conf, LimitNOFILE= and the "
              "like of a systemd unit, --ulimit of a container)"};
}

}  // namespace msb::cli
