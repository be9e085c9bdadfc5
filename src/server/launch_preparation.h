// LaunchPreparation: what a start does before there is a monitor: image, disk, what is stored.
#pragma once

#include <string>

#include "src/base/result.h"
#include "src/sandbox/launch_plan.h"
#include "src/server/api/sandbox.h"
#include "src/server/auth/caller.h"
#include "src/server/storage.h"

namespace msb::server {

// Whether both names mean one image: are spellings of one, or two that the store has for the same.
// Any thread.
bool IsSameImage(const std::string& home, const std::string& image, const std::string& other);

// Waits for the disk; any thread, one at a time for each sandbox, which does not run. `config` is
// complete. kNotFound or kDenied for the image, kInvalid for a disk of another size, kExists if
// another server's sandbox has the name.
base::Result<sandbox::LaunchPlan> PrepareLaunch(const Storage& storage, const std::string& home,
                                                const SandboxKey& key, const api::Config& config,
                                                bool reset, const Caller& caller);

// What there was of a sandbox before a start.
struct Before {
  base::Result<StoredSandbox> stored;
  bool directory = false;
};

// After a start that failed, here or later: as it was before it. Of a first one nothing stays; a
// disk that was there is kept.
void UndoLaunch(const Storage& storage, const SandboxKey& key, const Before& before, bool reset);

}  // namespace msb::server
