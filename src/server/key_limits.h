// KeyLimits: whether a key may start one more sandbox.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/server/auth/caller.h"
#include "src/server/inventory.h"

namespace msb::server {

// What a start that is under way will use.
struct Reservation {
  std::string key_id;
  api::Config config;
};

bool HasLimits(const Caller& caller);

// `listed` is no older than `starting`. kLimit, with what is in use; kCorrupt if that cannot be
// known.
base::Status CheckLimits(const SandboxKey& key, const api::Config& config, const Caller& caller,
                         const std::vector<Listed>& listed,
                         const std::map<SandboxKey, Reservation>& starting);

}  // namespace msb::server
