// Environment variables as K=V. Pure functions.
#pragma once

#include <string_view>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/result.h"

namespace msb::sandbox {

// K=V with a K that a shell can use as a variable: not empty, no '='. Else kInvalid, which quotes
// it.
base::Result<base::Bytes> ParseEnv(std::string_view text);

// `base` with each K=V of `over` replacing or added.
std::vector<base::Bytes> MergeEnv(const std::vector<base::Bytes>& base,
                                  const std::vector<base::Bytes>& over);

}  // namespace msb::sandbox
