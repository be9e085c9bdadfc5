// Placement: on which CPU a sandbox's guest and its device process run together. The same CPU for
// both is fastest (spec/machine.md, "Placement").
#pragma once

#include <optional>

namespace msb::sandbox {

// One of the CPUs that this process may use, chosen at random among those that the caller is not
// running on just now (it is busy starting the sandbox); absent if the kernel does not say.
std::optional<int> ChooseCpu();

}  // namespace msb::sandbox
