// Names of files as a guest gives them, checked. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace msb::agent {

// At most `depth` plain names with slashes between: none empty, ".", "..", too long or with NUL.
bool IsRelativePath(std::string_view path, uint32_t depth);

}  // namespace msb::agent
