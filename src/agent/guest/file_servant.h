// The process that touches files for the host: what it does (file_workers.h is who tells it to).
//
// A file system of the guest may be served by a program of the guest, which need not answer; then
// this process waits, and nothing else. It is a child of the agent's, has one end of a socket pair,
// and does one request about files at a time, in steps, in blocking calls:
//
//   agent -> servant   Request: begin. Data, end: of a write. Credit (of nothing): go on.
//   servant -> agent   frames for the host, as they are (of an exec: an ExecLookup as data, then
//   the
//                      reply); then, once for each of the above, a credit frame whose stream is a
//                      Turn and whose credit is how much data was taken
//
// It ends when the agent closes its end.
#pragma once

#include <functional>

#include "src/agent/guest/accounts.h"
#include "src/agent/guest/exec_plan.h"
#include "src/agent/guest/failure.h"
#include "src/agent/protocol.h"

namespace msb::agent {

enum class Turn : unsigned {
  kFinished,  // the request is done, and what it is answered with was sent
  kNext,      // there is more, when it is told to go on
  kData,      // there is room for more data
  kChanges,   // nothing has changed; an unasked kNext will say when something has
  kBusy,      // in the middle of a step, and getting on: only says that nothing is stuck
};

// What it cannot know itself.
struct ServantLookups {
  UserLookup user;
  std::function<Outcome<ExecLookup>(const Exec&)> exec;
};

// The child's whole life. `cgroup_fd`: -1, or where it belongs.
[[noreturn]] void RunFileServant(int socket_fd, int cgroup_fd, const ServantLookups& lookups);

}  // namespace msb::agent
