// ExecPlan: what an Exec asks for, checked and looked up in the guest: who, where, which program,
// with which environment. Errors are the host's to show: they name the thing.
#pragma once

#include <string>
#include <vector>

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

// What of a plan takes a look at the file systems.
struct ExecLookup {
  base::Bytes program;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  base::Bytes home;
};
BOOST_DESCRIBE_STRUCT(ExecLookup, (), (program, uid, gid, groups, home))

// By a process that may wait for them. Touches all that is touched before the program is on its
// way, so that only who changes it afterwards can keep somebody waiting.
Outcome<ExecLookup> LookUpExec(const Exec& exec, const Surroundings& surroundings);

// `lookup`: null, or what was found before; then nothing is looked at here.
Outcome<ExecPlan> PlanExec(const Exec& exec, const Surroundings& surroundings,
                           const ExecLookup* lookup);

}  // namespace msb::agent
