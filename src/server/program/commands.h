// What `msb server …` does: one file a command. All but Keygen and List act on this user's one
// server, which server.pid names. Errors are for the user.
#pragma once

#include "src/base/result.h"
#include "src/server/program/options.h"

namespace msb::server {

base::Status RunStart(const StartOptions& options);  // until the server ends, unless detached
base::Status RunStop();
base::Status RunKeygen(const KeygenOptions& options);
// The server, and the sandboxes that run. False: no server does.
base::Result<bool> RunStatus(const ListOptions& options);
base::Status RunList(const ListOptions& options);  // all sandboxes of the server's
base::Status RunLog(const LogOptions& options);
base::Status RunShell(const ShellOptions& options);
// Needs no server: it does itself what one does, until its input ends.
base::Status RunMcp(const McpOptions& options);

}  // namespace msb::server
