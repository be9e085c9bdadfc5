// Copies between this machine and a sandbox, once it is known which way: what cp.cc calls.
//
// Single thread. What could not be copied has been printed; an error ends the copy.
#pragma once

#include <cstdint>
#include <string>

#include "src/base/result.h"
#include "src/cli/command_line.h"
#include "src/cli/guest_files.h"
#include "src/image/progress.h"

namespace msb::cli {

struct CopyResult {
  uint64_t bytes = 0;
  uint64_t devices = 0;  // devices and FIFOs, which are not copied
  uint64_t unread = 0;   // what could not be read, each printed
};

base::Result<CopyResult> CopyOut(const CopyOptions& options, GuestFiles& files,
                                 image::Progress& progress);
base::Result<CopyResult> CopyIn(const CopyOptions& options, GuestFiles& files,
                                image::Progress& progress);

}  // namespace msb::cli
