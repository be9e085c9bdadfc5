// Pace: how slow a client may be with what it sends or takes: something of it every `progress_s`,
// and, that granted once, `min_bytes_s` in the mean. Only time is counted in which the server waits
// for the client. Value; one thread.
#pragma once

#include <algorithm>

#include "src/server/async.h"
#include "src/server/http/limits.h"

namespace msb::server::http {

class Pace {
 public:
  explicit Pace(const ConnectionLimits& limits)
      : progress_(std::chrono::seconds(limits.progress_s)), bytes_s_(limits.min_bytes_s) {}

  // Begins to wait; until when.
  Clock::time_point Begin() {
    began_ = Clock::now();
    const std::chrono::duration<double> earned(static_cast<double>(moved_) / bytes_s_);
    return began_ + std::min(progress_, progress_ - waited_ +
                                            std::chrono::duration_cast<Clock::duration>(earned));
  }
  // Has waited, and so many bytes came or went.
  void End(size_t bytes) {
    waited_ += Clock::now() - began_;
    moved_ += bytes;
  }

 private:
  Clock::duration progress_;
  double bytes_s_;
  Clock::time_point began_;
  Clock::duration waited_{};
  uint64_t moved_ = 0;
};

}  // namespace msb::server::http
