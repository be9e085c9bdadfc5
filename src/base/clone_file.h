// CloneFile (sys.h) of what may take long. Any thread.
#pragma once

#include <functional>

#include "src/base/result.h"

namespace msb::base {

// `busy` is called for each MiB that is copied.
Status CloneFile(int source_fd, int target_fd, const std::function<void()>& busy);

}  // namespace msb::base
