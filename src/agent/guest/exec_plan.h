// ExecPlan: what an Exec asks for, checked and looked up in the guest: who, where, which program,
// with which environment. Errors are the host's to show: they name the thing.
#pragma once

#include <string>

#include "src/agent/guest/failure.h"
#include "src/agent/guest/spawn.h"
#include "src/agent/protocol.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

// Where users are looked up, and what a process is given without asking.
struct Surroundings {
  std::string passwd_path;
  std::string group_path;
  std::string hostname;
  int cgroup_fd = -1;
  int null_fd = -1;  // /dev/null, which must outlive the processes: its path is the workload's
};

struct ExecPlan {
  SpawnPlan spawn;     // without its descriptors
  base::UniqueFd cwd;  // spawn.cwd_fd
};

Outcome<ExecPlan> PlanExec(const Exec& exec, const Surroundings& surroundings);

// Touches all that starting the program does, for a process that may wait for it.
Outcome<void> RehearseExec(const Exec& exec, const Surroundings& surroundings);

}  // namespace msb::agent
