// Lifecycle: the phases of a sandbox, and what leads from one to the next: the only place that says
// so. Pure.
#pragma once

#include <boost/describe.hpp>

#include <optional>

namespace msb::sandbox {

enum class Phase {
  kStarting,  // its guest boots, or its program is not started yet
  kRunning,
  kPaused,    // the host's disk is full: what writes waits
  kStopping,  // its programs were told to end
  kEnded,     // nothing of it runs any more
};
BOOST_DESCRIBE_ENUM(Phase, kStarting, kRunning, kPaused, kStopping, kEnded)

enum class Happening {
  kReady,     // the root is set up; detached: and the program was started
  kDiskFull,  // msb-vmm has stopped a disk's queue
  kDiskRoom,  // and goes on with it
  kStop,      // a request, a limit, or the lease closed, and there is a grace
  kGone,      // whatever ends it at once: its program ended, a process died, the grace is over
};
BOOST_DESCRIBE_ENUM(Happening, kReady, kDiskFull, kDiskRoom, kStop, kGone)

// Where it leads; absent where it changes nothing.
std::optional<Phase> Next(Phase phase, Happening happening);

}  // namespace msb::sandbox
