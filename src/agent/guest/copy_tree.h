// CopyTree: the content of one directory into another, with owners, modes, times, extended
// attributes, links, holes and device nodes.
//
// Never follows a link: everything is looked up by name in an open directory. Errors name the
// entry. One thread.
#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "src/base/result.h"

namespace msb::agent {

inline constexpr unsigned kMaxTreeDepth = 2048;

// Returns how many entries were copied. The target directory takes on the source's metadata.
base::Result<uint64_t> CopyTree(int source_dir, int target_dir);

enum class Attributes { kAll, kOfUsers };
// Owner, mode, times and extended attributes of what is open. `status` is the source's.
base::Status CopyMetadata(int source, int target, const struct stat& status, Attributes which);

}  // namespace msb::agent
