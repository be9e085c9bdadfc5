// Counters: what the HTTP layer counts; /metrics prints it. Owned by main's server; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>

namespace msb::server::http {

struct Counters {
  // Upper bounds of the latency histogram's buckets, in seconds; the last bucket has none.
  static constexpr auto kBuckets_s = std::to_array<double>(
      {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60});

  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;  // foreign peers, those beyond the limit, or closed for them
  uint64_t connections_open = 0;
  uint64_t requests_running = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  std::map<int, uint64_t> responses;                         // by status; 0: none was sent
  std::array<uint64_t, kBuckets_s.size() + 1> latency = {};  // each bucket for itself
  double latency_sum_s = 0;

  void CountResponse(int status, std::chrono::duration<double> taken) {
    ++responses[status];
    const auto bucket = std::ranges::lower_bound(kBuckets_s, taken.count());
    ++latency[static_cast<size_t>(bucket - kBuckets_s.begin())];
    latency_sum_s += taken.count();
  }
};

}  // namespace msb::server::http
