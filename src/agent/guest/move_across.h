// MoveAcross: a move from one file system to another, with the rights that the process has.
//
// Copied into a directory ".NAME.*.part" beside its new name, flushed, renamed to it, and only then
// removed where it was: at every moment one of the two is whole. One that is broken off leaves the
// .part. One thread.
#pragma once

#include <functional>

#include "src/agent/guest/failure.h"
#include "src/agent/protocol.h"

namespace msb::agent {

// `busy` is called again and again.
Outcome<void> MoveAcross(const Rename& request, const std::function<void()>& busy);

}  // namespace msb::agent
