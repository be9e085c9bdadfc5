// Changes to the guest's file system that the host asks for one by one, with the rights of a user.
// See the requests in src/agent/protocol.h. One thread.
#pragma once

#include <cstdint>
#include <memory>

#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/guest/transfer.h"
#include "src/agent/protocol.h"

namespace msb::agent {

Outcome<void> MakeDirectoryAs(const MakeDirectory& request, const Identity& identity);
Outcome<void> RenameAs(const Rename& request, const Identity& identity);
Outcome<void> ChangeModeAs(const ChangeMode& request, const Identity& identity);
Outcome<void> MakeSymlinkAs(const MakeSymlink& request, const Identity& identity);
Outcome<base::Bytes> ReadSymlinkAs(const ReadSymlink& request, const Identity& identity);

// In pieces, since a tree can be large; ends with the Reply to `seq`.
Outcome<std::unique_ptr<Transfer>> BeginRemoval(const Remove& request, const Identity& identity,
                                                uint32_t seq);

}  // namespace msb::agent
