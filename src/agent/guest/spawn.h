// Spawn: starts a program by clone3 with the parent's memory (as vfork does) and execve. glibc's
// posix_spawn resets every signal one by one in the child, a millisecond on User-Mode Linux.
//
// The caller is single-threaded and has all its descriptors close-on-exec; it is suspended until
// the program runs or has failed to. Nothing is left behind on an error.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "src/agent/guest/accounts.h"
#include "src/base/result.h"

namespace msb::agent {

struct SpawnPlan {
  std::string program;  // a path, see FindProgram
  std::vector<std::string> argv;
  std::vector<std::string> env;
  int cwd_fd = -1;
  Identity identity;
  std::vector<int> fds;   // fds[i] becomes descriptor i; 3 or more of the caller's each
  bool terminal = false;  // descriptor 0 becomes the controlling terminal
  int cgroup_fd = -1;     // -1: the caller's
};

// The process leads a session of its own; signals are at their defaults and none is blocked.
// Errors: kNotFound or kDenied or kInvalid from execve itself (ErrorCode of its errno, the message
// names the program); otherwise kSystem, naming the step.
base::Result<pid_t> Spawn(const SpawnPlan& plan);

}  // namespace msb::agent
