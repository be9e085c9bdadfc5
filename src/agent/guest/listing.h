// A directory's entries, and those of the directories below to a depth, for the host.
//
// In pieces, as the connection takes them. Links are not followed; a directory below that cannot be
// opened is said to be skipped. One thread (the user's identity is put on around each piece).
#pragma once

#include <cstdint>
#include <memory>

#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/guest/transfer.h"
#include "src/agent/protocol.h"

namespace msb::agent {

// Ends with the Reply to `seq`.
Outcome<std::unique_ptr<Transfer>> OpenListing(const ListDirectory& request,
                                               const Identity& identity, uint32_t seq);

}  // namespace msb::agent
