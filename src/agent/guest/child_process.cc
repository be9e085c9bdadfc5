#include "src/agent/guest/child_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <limits>

#include "src/base/sys.h"

namespace msb::agent {

void CloseOthers(int keep) {
  if (keep > 3) ::close_range(3, static_cast<unsigned>(keep) - 1, 0);
  ::close_range(static_cast<unsigned>(keep) + 1, std::numeric_limits<unsigned>::max(), 0);
}

base::Status EnterCgroup(int cgroup_fd) {
  if (cgroup_fd < 0) return {};
  const base::UniqueFd members = TRY(base::OpenFileAt(cgroup_fd, "cgroup.procs", O_WRONLY));
  return base::WriteFull(members.get(), "0");
}

}  // namespace msb::agent
