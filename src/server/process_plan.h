// What a client asks a process in a sandbox to be, checked: an agent::Exec with the sandbox's own
// environment, directory and user where nothing else is asked for. Pure. Errors: kInvalid.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/agent/protocol.h"
#include "src/base/result.h"
#include "src/server/instance.h"

namespace msb::server {

struct ProcessWishes {
  std::vector<base::Bytes> argv;
  const std::vector<std::string>& envs;
  const std::optional<std::string>& workdir;
  const std::optional<std::string>& user;
};

std::vector<base::Bytes> ArgvOf(const std::string& command, const std::vector<std::string>& args);
base::Result<agent::Exec> PlanProcess(const Instance& instance, ProcessWishes wishes);

// A path in the guest that a client named: absolute, without U+0000, at most PATH_MAX.
base::Status CheckPath(std::string_view member, std::string_view path);

}  // namespace msb::server
