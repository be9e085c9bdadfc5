// Inventory: what sandboxes this server has, read from where the truth is: Storage, and the run
// directories of those that run or ran. Reads files, and /proc to measure; any thread.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/sandbox/catalog.h"
#include "src/sandbox/usage.h"
#include "src/server/storage.h"

namespace msb::server {

struct Listed {
  SandboxKey key;
  std::optional<StoredSandbox> stored;  // absent if it cannot be read
  std::optional<sandbox::State> state;  // of its last run, if that is known
  uint64_t disk_bytes = 0;              // what its disk takes on the host
  sandbox::Usage usage = {};            // of one that runs, if that was asked for
  bool running() const { return state && state->phase != sandbox::Phase::kEnded; }
};

enum class Measuring { kNo, kYes };

// In the order of their names. `name_space`: "*" for all.
base::Result<std::vector<Listed>> ListSandboxes(const Storage& storage, std::string_view name_space,
                                                Measuring measuring = Measuring::kNo);

// Its last run, which may be going on, if that is known.
std::optional<sandbox::FoundSandbox> LastRun(const Storage& storage, const SandboxKey& key);

}  // namespace msb::server
