// MoveAcross: a move of a file, or a symbolic link, from one file system to another, with the
// rights that the process has.
//
// Copied to ".NAME.*.part" beside its new name, flushed, renamed to it, and only then removed where
// it was: at every moment one of the two is whole. What changes meanwhile is not removed. One that
// is killed leaves the .part. Directories are not moved: what is in them would change under it. One
// thread.
#pragma once

#include <functional>

#include "src/agent/guest/copy_tree.h"
#include "src/agent/protocol.h"
#include "src/base/result.h"

namespace msb::agent {

// `busy` is called again and again.
base::Status MoveAcross(const Rename& request, Attributes attributes,
                        const std::function<void()>& busy);

}  // namespace msb::agent
