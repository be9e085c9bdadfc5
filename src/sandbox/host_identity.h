// HostIdentity: who a sandbox's jailed processes are on the host.
//
// As root, each sandbox gets a uid of its own, used by nothing else on the machine: a slot of a
// range, held by a lock (flock(2)) on /run/msb/uid/<slot>. The jails inherit the descriptor, so the
// slot is free only when their last process is gone. As an ordinary user it is the user's own uid.
// Owned by the monitor.
#pragma once

#include <sys/types.h>

#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::sandbox {

struct HostIdentity {
  uid_t uid = 0;
  gid_t gid = 0;
  base::UniqueFd lock;  // invalid for an ordinary user
};

// kLimit if all slots are taken or this user namespace has no room for them.
base::Result<HostIdentity> TakeHostIdentity();

// First id of `count` consecutive ids that a map in the format of /proc/PID/uid_map covers: the
// preferred base if it fits, else the top of the largest mapped range.
base::Result<uid_t> ChooseIdBase(std::string_view uid_map, uid_t preferred, uid_t count);

}  // namespace msb::sandbox
