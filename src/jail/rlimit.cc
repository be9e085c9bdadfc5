#include <algorithm>
#include <iterator>

#include "src/jail/child.h"

namespace msb::jail {
namespace {

struct Known {
  int resource;
  LimitText text;
};

constexpr Known kKnown[] = {
    {RLIMIT_AS, {"RLIMIT_AS", "-v"}},
    {RLIMIT_CORE, {"RLIMIT_CORE", "-c"}},
    {RLIMIT_CPU, {"RLIMIT_CPU", "-t"}},
    {RLIMIT_DATA, {"RLIMIT_DATA", "-d"}},
    {RLIMIT_FSIZE, {"RLIMIT_FSIZE", "-f"}},
    {RLIMIT_MEMLOCK, {"RLIMIT_MEMLOCK", "-l"}},
    {RLIMIT_MSGQUEUE, {"RLIMIT_MSGQUEUE", "-q"}},
    {RLIMIT_NOFILE, {"RLIMIT_NOFILE", "-n"}},
    {RLIMIT_NPROC, {"RLIMIT_NPROC", "-u"}},
    {RLIMIT_SIGPENDING, {"RLIMIT_SIGPENDING", "-i"}},
    {RLIMIT_STACK, {"RLIMIT_STACK", "-s"}},
};

rlim_t HardLimit(int resource) {
  rlimit now = {};
  const bool known = ::getrlimit(static_cast<__rlimit_resource_t>(resource), &now) == 0;
  return known ? now.rlim_max : RLIM_INFINITY;
}

}  // namespace

LimitText TextOfLimit(int resource) {
  const auto known = std::ranges::find(kKnown, resource, &Known::resource);
  return known == std::end(kKnown) ? LimitText{"a resource limit", ""} : known->text;
}

Limit AtMost(int resource, rlim_t value) {
  return {resource, std::min(value, HardLimit(resource))};
}

base::Status SetLimits(std::span<const Limit> limits) {
  for (const Limit& limit : limits) {
    const rlimit both = {limit.value, limit.value};
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &both) == 0) continue;
    const base::Error refused =
        base::FailErrno("cannot set {} to {}", TextOfLimit(limit.resource).name, limit.value);
    const rlim_t hard = HardLimit(limit.resource);
    if (limit.value <= hard) return refused;
    return base::Fail(base::ErrorCode::kLimit,
                      "{} has to be {}, but this process may have {} at most: start it with a "
                      "higher limit (ulimit -H {}; `msb doctor` says more)",
                      TextOfLimit(limit.resource).name, limit.value, hard,
                      TextOfLimit(limit.resource).ulimit);
  }
  return {};
}

}  // namespace msb::jail
