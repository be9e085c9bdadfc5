// The lock of a writable disk that lasts: exclusive, on the file itself and its open file
// description, so that it ends with the last process that has that: the jailed msb-vmm, which
// cannot unlock (its system calls do not include fcntl).
//
// Whoever starts a sandbox opens the file anew and hands the descriptor on; the monitor takes the
// lock. Any thread; waits only for processes that a killed monitor has left.
#pragma once

#include <string>

#include "src/base/result.h"

namespace msb::sandbox {

// `path`: where the file is, in the form in which State::disk_path has it. Afterwards nobody else
// writes to the file and it is what the path names. kBusy, with who has it, if it is in use, and if
// it was replaced meanwhile.
base::Status LockDisk(int disk_fd, const std::string& path);

}  // namespace msb::sandbox
