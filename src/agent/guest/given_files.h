// Files that the host gives the workload, written into the root before any program of it runs.
//
// Called once by PID 1, in the workload's root. Errors name the file.
#pragma once

#include <vector>

#include "src/agent/protocol.h"
#include "src/base/result.h"

namespace msb::agent {

base::Status WriteGivenFiles(const std::vector<GivenFile>& files);

}  // namespace msb::agent
