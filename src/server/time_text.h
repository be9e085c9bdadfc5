// Times for the API: RFC 3339, UTC, to the millisecond. Pure.
#pragma once

#include <cstdint>
#include <string>

namespace msb::server {

std::string TimeText(int64_t wall_clock_ms);

}  // namespace msb::server
