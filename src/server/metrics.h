// Metrics: what /metrics says, in Prometheus' text format (version 0.0.4). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "src/server/http/counters.h"
#include "src/server/sandboxes.h"

namespace msb::server {

// What JSON-RPC's methods were called for, and what came of it. One thread.
struct CallCounters {
  struct Method {
    uint64_t succeeded = 0;
    std::map<int, uint64_t> failed;  // by the error's code
    double seconds = 0;
  };
  std::map<std::string_view, Method> methods;  // names are constants
  uint64_t running = 0;
};

struct MetricsInput {
  const http::Counters& http;
  const CallCounters& calls;
  std::vector<Listed> sandboxes;  // that run, and that the caller may see; measured
  uint64_t resident_bytes = 0;    // of the server
  double start_time_s = 0;        // since 1970
};

std::string PrometheusText(const MetricsInput& input);

}  // namespace msb::server
