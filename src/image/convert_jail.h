// What msb-convert may ask of the kernel once it reads foreign bytes, and what it may use up. Its
// descriptors are open, so it needs no path, no socket, no process and no clock.
#pragma once

#include <span>
#include <vector>

#include "src/base/result.h"
#include "src/jail/jail.h"
#include "src/jail/seccomp.h"

namespace msb::image {

std::span<const jail::Allowed> ConvertSystemCalls();
std::vector<jail::Limit> ConvertLimits();

// Compiles and installs the list, in msb-convert itself. Irrevocable.
base::Status EnterConvertSeccomp();

}  // namespace msb::image
