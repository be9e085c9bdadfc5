// CPU affinity: which CPUs a thread may run on (sched_setaffinity(2)), and lists of CPUs as people
// write them. Not bound to the 1024 CPUs of libc's cpu_set_t. Thread-safe.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace msb::base {

using CpuList = std::vector<int>;  // ascending, each once

inline constexpr int kMaxCpus = 8192;  // the largest Linux for x86-64; numbers are below it

// Of the calling thread.
Result<CpuList> AllowedCpus();

// The thread `thread` (0: the calling one) runs on these CPUs and no others. The kernel leaves out,
// in silence, those that the thread's cpuset does not have; kInvalid if none is left.
Status SetAllowedCpus(pid_t thread, const CpuList& cpus);

// Whether the calling thread could be set to run on each of them. kDenied, naming those that the
// host does not have or the thread's cpuset does not allow; a narrower affinity of the thread is no
// hindrance, and is as before when this returns.
Status CheckUsable(const CpuList& cpus);

// "0,2-3", and "0-8:4" for 0, 4 and 8, as taskset(1) has it. kInvalid; quotes the part that is
// wrong.
Result<CpuList> ParseCpuList(std::string_view text);
// The same notation, without strides.
std::string FormatCpuList(const CpuList& cpus);

}  // namespace msb::base
