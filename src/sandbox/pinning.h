// Pinning: moves processes that run already, with their threads and descendants, to one CPU.
//
// Used by the monitor on its own children, whose numbers stay theirs until it reaps them; what is
// below them is read from /proc. A descendant that ends meanwhile is no error; its number cannot
// have come round to another process in that time, since the kernel hands numbers out in a circle.
#pragma once

#include <sys/types.h>

#include "src/base/result.h"

namespace msb::sandbox {

// A thread is pinned before its children are looked up, and a child inherits its parent's CPU when
// it is forked. So one thing alone is missed: a child whose fork had begun before its parent was
// pinned and had not ended when the children were read. Once every thread has got past the system
// call it was in, a second call pins these too.
//
// kUnsupported, and nothing is done, if the kernel does not list a process's children; kLimit if
// there are more processes than any jail may have.
base::Status PinProcesses(pid_t root, int cpu);

}  // namespace msb::sandbox
