// Changes to the guest's file system that the host asks for one by one, with the rights of a user.
// See the requests in src/agent/protocol_files.h. One thread.
#pragma once

#include <functional>

#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/protocol.h"

namespace msb::agent {

Outcome<void> MakeDirectoryAs(const MakeDirectory& request, const Identity& identity);
Outcome<void> ChangeModeAs(const ChangeMode& request, const Identity& identity);
Outcome<void> MakeSymlinkAs(const MakeSymlink& request, const Identity& identity);
Outcome<base::Bytes> ReadSymlinkAs(const ReadSymlink& request, const Identity& identity);

// What may take long calls `busy` again and again, as long as it gets on.
Outcome<void> RemoveAs(const Remove& request, const Identity& identity,
                       const std::function<void()>& busy);
Outcome<void> RenameAs(const Rename& request, const Identity& identity,
                       const std::function<void()>& busy);

}  // namespace msb::agent
