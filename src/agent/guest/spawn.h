// Spawn: starts a program by clone3 into the parent's memory and execve. glibc's posix_spawn resets
// every signal one by one in the child, a millisecond on User-Mode Linux; and it waits for execve,
// which may take for ever: the program's interpreter may be in a file system that a program of the
// workload serves, the file may be leased.
//
// The caller is single-threaded and has all its descriptors close-on-exec.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "src/agent/guest/accounts.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

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

// A process on its way to its program. Until it has got there, it uses our memory.
class Spawn {
 public:
  // The process leads a session of its own; signals are at their defaults and none is blocked. The
  // plan's descriptors are not needed any more. Errors: kSystem, no process could be created.
  static base::Result<std::unique_ptr<Spawn>> Begin(SpawnPlan plan);
  ~Spawn();  // one that is not over is killed, and waited for
  Spawn(const Spawn&) = delete;

  pid_t pid() const { return pid_; }
  // Hangs up (EPOLLHUP) once it is over: the program runs, or the process has ended.
  int fd() const { return end_.get(); }
  // Legal once it is over: whether the program runs, or ran. Errors: kNotFound or kDenied or
  // kInvalid from execve itself (ErrorCode of its errno, the message names the program); otherwise
  // kSystem, naming the step.
  base::Status Result() const;

 private:
  struct Child;
  explicit Spawn(SpawnPlan plan);

  const std::unique_ptr<Child> child_;
  base::UniqueFd end_;  // of a pipe that only the process holds the other one of
  pid_t pid_ = 0;
};

}  // namespace msb::agent
