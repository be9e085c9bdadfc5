// Detach: a server that its starter need not wait for.
#pragma once

#include <functional>
#include <string>

#include "src/base/result.h"

namespace msb::server {

// What a server says to its starter once it can be used.
using Ready = std::function<void(const std::string& message)>;

// Runs `serve` in a new process and session. Returns in the former one, with what it said, when it
// is ready, or has failed: with its reason. Before there are threads or event loops.
base::Result<std::string> Detach(const std::function<base::Status(const Ready&)>& serve);

}  // namespace msb::server
