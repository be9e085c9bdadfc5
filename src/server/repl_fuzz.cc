// What a REPL driver, taken over by the code it runs, may send: frames, cut anywhere.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "src/server/repl_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = data[0] + 1;  // how much comes at a time
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  msb::server::repl::FrameReader reader;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    if (!reader.Feed(bytes.substr(at, piece), [](auto) {})) return 0;
  }
  return 0;
}
