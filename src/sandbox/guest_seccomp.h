// The system calls that jail B may make: what User-Mode Linux needs, a reason each.
#pragma once

#include <vector>

#include "src/base/result.h"
#include "src/jail/seccomp.h"

namespace msb::sandbox {

base::Result<std::vector<sock_filter>> GuestSeccomp();

}  // namespace msb::sandbox
