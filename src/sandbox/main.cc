// msb-monitor: one a sandbox. Descriptor 3 is the lease; everything else comes through it.
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include "src/base/log.h"
#include "src/base/sys.h"
#include "src/sandbox/monitor.h"

int main() {
  using namespace msb;
  base::ConfigureLog({.program = "msb-monitor"});
  base::RaiseOpenFileLimit();
  // Large buffers in mappings of their own, so that what they do not use takes no memory: there is
  // one such process for each sandbox, and it lives as long.
  ::mallopt(M_MMAP_THRESHOLD, 32 * 1024);
  base::UniqueFd lease(sandbox::kLeaseFd);
  if (!base::SetCloseOnExec(lease.get(), true)) {
    LOG(kError, "started without a lease: this program is started by msb");
    return 1;
  }
  if (::chdir("/") < 0) return 1;
  auto monitor = sandbox::Monitor::Create(std::move(lease));
  const base::Status ended = monitor ? (*monitor)->Run() : base::Status(std::move(monitor).error());
  if (!ended) {
    LOG(kError, "{}", ended.error().message());
    return 1;
  }
  return 0;
}
