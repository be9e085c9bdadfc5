// Names in a foreign tar, before anything is made of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace msb::image {

// The components of a member's name, to be used one below the other; none for "." or "./". "."
// elsewhere and a slash at the end mean nothing. Errors: kCorrupt for an absolute name, "..", NUL,
// a component of no bytes; kLimit for more than 4095 bytes, or 255 of a component.
base::Result<std::vector<std::string>> SplitMemberName(std::string_view name);

std::string JoinNames(const std::vector<std::string>& names, size_t count);  // the first `count`

}  // namespace msb::image
