// Catalog: the sandboxes of this user: found by name, listed, removed. It reads what they wrote
// down (state.h) and asks no monitor, so it neither waits for one nor counts as use of a sandbox.
//
// Any thread. Errors: kNotFound for a sandbox that is not there (with what to do), kBusy for one
// that runs and is to be removed.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/state.h"

namespace msb::sandbox {

struct FoundSandbox {
  State state;
  base::UniqueFd directory;  // its run directory
};

// By its name, its id, or a beginning of the id (eight digits or more) that only it has.
base::Result<FoundSandbox> FindSandbox(const std::string& name);

// In the order of their creation; those that have ended only if `ended_too`.
base::Result<std::vector<State>> ListSandboxes(bool ended_too);

// What is left of one that has ended: state, log, name. Returns its name.
base::Result<std::string> RemoveSandbox(const std::string& name);

}  // namespace msb::sandbox
