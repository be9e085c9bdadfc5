// CopyTree: the content of one directory into another, or one entry of it, with owners, modes,
// times, extended attributes, links, holes and device nodes.
//
// Never follows a link: everything is looked up by name in an open directory. Errors name the
// entry. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/result.h"

namespace msb::agent {

inline constexpr unsigned kMaxTreeDepth = 2048;

// Returns how many entries were copied. The target directory takes on the source's metadata.
base::Result<uint64_t> CopyTree(int source_dir, int target_dir);

// One entry with all that is in it, under the same name. `busy` is called again and again.
base::Status CopyEntry(int source_dir, int target_dir, const std::string& name,
                       const std::function<void()>& busy);

}  // namespace msb::agent
