// The system calls msb-vmm may make once it serves a guest, each with its reason (DESIGN.md,
// "Jails"). Installed after start-up and before the first byte of the guest is read; everything
// else kills the process.
#pragma once

#include <span>

#include "src/jail/seccomp.h"

namespace msb::vmm {

std::span<const jail::Allowed> SeccompPolicy();

}  // namespace msb::vmm
