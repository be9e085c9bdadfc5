// Names of signals. A pure function.
#pragma once

#include <string_view>

#include "src/base/result.h"

namespace msb::sandbox {

// "SIGTERM", "TERM", "15", "SIGRTMIN+3": the signal's number. Else kInvalid, which quotes it.
base::Result<int> ParseSignal(std::string_view text);

}  // namespace msb::sandbox
