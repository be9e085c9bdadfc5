// Seccomp allow-lists as data: each system call with the reason it is needed. Default action
// ERRNO(EPERM) or KILL_PROCESS. Compiled with libseccomp to a BPF program.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "src/base/result.h"

namespace msb::jail {

// A condition on one argument: (argument & mask) == value.
struct ArgumentRule {
  unsigned index;
  uint64_t mask;
  uint64_t value;
};

struct Allowed {
  int call;                             // __NR_*
  const char* reason;                   // why the program needs it
  std::vector<ArgumentRule> only = {};  // all must hold
};

enum class Otherwise { kErrno, kKillProcess };

base::Result<std::vector<sock_filter>> CompileSeccomp(std::span<const Allowed> list,
                                                      Otherwise otherwise);

// Sets no_new_privs and installs the program on all threads of the caller. Irrevocable.
base::Status InstallSeccomp(std::span<const sock_filter> program);

}  // namespace msb::jail
