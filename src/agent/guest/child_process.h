// What every child of the agent that is no program of the workload does first. In the child, before
// it looks at anything foreign. One thread.
#pragma once

#include "src/base/result.h"

namespace msb::agent {

// Closes every descriptor but the standard ones and this: others' connections would stay open with
// us.
void CloseOthers(int keep);

// Its memory is the workload's then, and the end of the workload is its end. -1: stays where it is.
base::Status EnterCgroup(int cgroup_fd);

}  // namespace msb::agent
