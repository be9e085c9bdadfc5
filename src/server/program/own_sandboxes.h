// The sandboxes of this home's server, whether that runs or not: what is ours runs on our disk,
// since all homes of a user share the names of sandboxes. Reads what server and sandboxes wrote
// down; changes nothing. Any thread.
#pragma once

#include <optional>
#include <string>

#include "src/base/result.h"
#include "src/sandbox/state.h"
#include "src/server/program/pid_file.h"
#include "src/server/storage.h"

namespace msb::server {

// The home's server; one that does not run, and has no record, if there never was one.
base::Result<FoundServer> FindOwnServer(const std::string& home);

// Where its sandboxes' disks are; absent if it has not had any.
base::Result<std::optional<Storage>> OpenOwnStorage(const FoundServer& server,
                                                    const std::string& home);

// Whose sandbox it is that has that name now, if it is one of ours.
std::optional<SandboxKey> OwnKeyOf(const Storage& storage, const sandbox::State& state);

// The sandbox that a user calls NAME or NAMESPACE/NAME; `name_space`: of an option, or empty.
// kInvalid if the two are not one; kNotFound if it runs for another home, or has never run.
base::Result<SandboxKey> FindOwn(const std::string& name_space, const std::string& name);

}  // namespace msb::server
