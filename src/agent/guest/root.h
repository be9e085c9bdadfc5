// The workload's root: image and writable disk under overlayfs, entered, and furnished as in a
// container (spec/cli.md, "In the guest, as in a container").
//
// Works on the whole process (mounts, chroot); called once by PID 1 before any workload runs.
#pragma once

#include "src/agent/protocol.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

struct BuiltRoot {
  base::UniqueFd upper;  // root of the writable file system; its directories: upper, work, plain
};

// Mounts lowers and upper, joins them and makes the result the root directory, with the mounts that
// every container has. Errors name the step.
base::Result<BuiltRoot> BuildRoot(const Configure& configure);

}  // namespace msb::agent
