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
  std::string cwd;  // a path, if cwd_fd is -1
  Identity identity;
  std::vector<int> fds;   // fds[i] becomes descriptor i; 3 or more of the caller's each
  bool terminal = false;  // descriptor 0 becomes the controlling terminal
  int cgroup_fd = -1;     // -1: the caller's
};

// A process on its way to its program. Until it has got there, it uses our memory.
class Spawn {
 public:
  // Errors: kSystem.
  static base::Result<std::unique_ptr<Spawn>> Create(SpawnPlan plan);
  ~Spawn();  // one that is not over is killed
  Spawn(const Spawn&) = delete;

  // Hangs up (EPOLLHUP) once it is over: the program runs, or the process has ended.
  int fd() const { return ours_.get(); }
  // Legal once. The process leads a session of its own; signals are at their defaults and none is
  // blocked. The plan's descriptors are not needed any more. Errors: kSystem, no process could be
  // created.
  base::Result<pid_t> Begin();
  // It was reaped, and so is over, whoever holds its end of the pipe.
  void Reaped() { pid_ = 0; }
  // Legal once it is over. Errors: kNotFound or kDenied or kInvalid from execve itself (ErrorCode
  // of its errno, the message names the program); otherwise kSystem, naming the step. One that was
  // killed on its way has no error.
  base::Status Result() const;

 private:
  struct Child;
  explicit Spawn(SpawnPlan plan);

  std::unique_ptr<Child> child_;
  // Ends of a pipe. Only the process holds the other one, once it is there.
  base::UniqueFd ours_;
  base::UniqueFd theirs_;
  pid_t pid_ = 0;  // while it may use our memory
};

}  // namespace msb::agent
