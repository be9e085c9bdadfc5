// Files that the host gives the workload, written into the root before any program of it runs.
//
// Those below /.sandbox are in memory, in a file system that is mounted there: neither a full disk
// nor what a program has left there is in their way. Called once by PID 1. Errors name the file.
#pragma once

#include <string>
#include <vector>

#include "src/agent/protocol.h"
#include "src/base/result.h"

namespace msb::agent {

// Makes the directory /.sandbox of the workload's root, which is at `root`: it is ours by its name,
// so anything else that has it is removed.
base::Status MakeGivenDirectory(const std::string& root);
// In the workload's root.
base::Status MountGivenDirectory(const std::vector<GivenFile>& files);
base::Status WriteGivenFiles(const std::vector<GivenFile>& files);

}  // namespace msb::agent
