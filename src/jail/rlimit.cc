#include "src/jail/child.h"

namespace msb::jail {

base::Status SetLimits(std::span<const Limit> limits) {
  for (const Limit& limit : limits) {
    const rlimit both = {limit.value, limit.value};
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &both) < 0) {
      return base::FailErrno("cannot set resource limit {}", limit.resource);
    }
  }
  return {};
}

}  // namespace msb::jail
