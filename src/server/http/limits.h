// What one client may cost the server: sizes, counts, patience. docs/self-hosting.md names the
// defaults.
#pragma once

#include <boost/describe.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace msb::server::http {

struct ConnectionLimits {
  size_t head_bytes = 16 << 10;    // request line and header fields
  size_t target_bytes = 8 << 10;   // the request line's target
  size_t fields = 100;             // header fields; as many query parameters
  size_t chunk_line_bytes = 256;   // a chunk's size with its extensions
  size_t trailer_bytes = 4 << 10;  // all trailer fields
  size_t connections = 4096;       // at once, all listeners together
  uint32_t head_s = 10;            // from a request's first byte to its last header field
  uint32_t idle_s = 75;            // between two requests
  uint32_t progress_s = 30;        // each piece of a body or message, in either direction
  uint32_t min_bytes_s = 4096;     // and its mean speed, those 30 s aside
  uint32_t linger_s = 2;           // after a refusal, for a client that still sends
  size_t linger_bytes = 1 << 30;   // what of that is read
};
BOOST_DESCRIBE_STRUCT(ConnectionLimits, (),
                      (head_bytes, target_bytes, fields, chunk_line_bytes, trailer_bytes,
                       connections, head_s, idle_s, progress_s, min_bytes_s, linger_s,
                       linger_bytes))

}  // namespace msb::server::http
