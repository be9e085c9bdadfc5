// Serve: the wiring: engine, protocols, HTTP, and the signals that end them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/server/http/policy.h"
#include "src/server/program/detach.h"
#include "src/server/program/pid_file.h"

namespace msb::server {

struct ServerOptions {
  std::string home;
  std::string directory;           // of the sandboxes' disks
  std::vector<std::string> hosts;  // addresses; at least one
  uint16_t port = 0;
  std::optional<std::string> key;  // absent: without keys
  bool key_is_new = false;         // to be stored once nothing can keep it from serving
  bool own_user_only = false;      // peers of other users are turned away
  bool detached = false;           // with a log of its own
  http::Policy policy;
};

// Until SIGTERM or SIGINT, and what was running then has ended. `ready` is called once, when it
// listens.
base::Status Serve(const ServerOptions& options, const Ready& ready);

}  // namespace msb::server
