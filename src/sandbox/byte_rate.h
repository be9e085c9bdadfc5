// ByteRate: how fast something may go on: a burst at once, then so many bytes a second. One thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "src/base/sys.h"

namespace msb::sandbox {

class ByteRate {
 public:
  ByteRate(uint64_t burst_bytes, uint64_t bytes_per_second)
      : burst_(static_cast<int64_t>(burst_bytes)),
        per_second_(static_cast<int64_t>(bytes_per_second)),
        left_(burst_) {}

  void Spend(uint64_t bytes) { left_ -= static_cast<int64_t>(bytes); }

  // How long to wait before more; 0: no need to.
  std::chrono::nanoseconds Wait() {
    const int64_t now = base::MonotonicNanos();
    // More than the whole burst takes to come back adds nothing.
    const int64_t passed_us =
        std::min((now - refilled_ns_) / 1000, (burst_ / per_second_ + 1) * kSecond_us);
    refilled_ns_ = now;
    left_ = std::min(burst_, left_ + passed_us * per_second_ / kSecond_us);
    if (left_ >= 0) return {};
    return std::chrono::microseconds(-left_ * kSecond_us / per_second_ + 1);
  }

 private:
  static constexpr int64_t kSecond_us = 1'000'000;
  const int64_t burst_;
  const int64_t per_second_;
  int64_t left_;
  int64_t refilled_ns_ = base::MonotonicNanos();
};

}  // namespace msb::sandbox
