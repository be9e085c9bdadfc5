// Who may speak to a server without keys: the user whose server it is, on this machine.
#pragma once

#include <sys/types.h>

#include "src/base/result.h"
#include "src/server/http/server.h"

namespace msb::server::http {

// Loopback, and the peer's socket belongs to this user. Asked at accept, before a byte is read: a
// peer that sends and closes at once belongs to nobody any more, and is refused, too.
base::Status AdmitOwnUser(const Endpoint& peer, const Endpoint& local);

// Whether the kernel can tell at all; else what to do instead.
base::Status CheckPeersAreKnown();

}  // namespace msb::server::http
