// ChunkDecoder: a chunked body's content, out of its bytes as they come. RFC 9112, 7.1. Pure.
//
// As strict as the head: hexadecimal sizes without sign or blanks, CR LF everywhere, extensions and
// trailers within bounds. Both are dropped: nothing here uses them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "src/server/http/limits.h"
#include "src/server/http/refusal.h"

namespace msb::server::http {

class ChunkDecoder {
 public:
  explicit ChunkDecoder(const ConnectionLimits& limits) : limits_(&limits) {}

  struct Step {
    size_t consumed = 0;       // of `bytes`
    std::string_view content;  // a part of `bytes`, at most `most` long
  };
  // Neither consumes nor gives anything: it needs more bytes, or is done.
  Accepted<Step> Decode(std::string_view bytes, size_t most);
  bool done() const { return state_ == State::kDone; }

 private:
  enum class State { kSize, kContent, kContentEnd, kTrailer, kDone };
  // The line that `bytes` begins with, without its end; absent if it is not all there yet.
  Accepted<std::optional<std::string_view>> Line(std::string_view bytes, size_t most) const;
  Accepted<Step> DecodeSize(std::string_view bytes);
  Accepted<Step> DecodeContentEnd(std::string_view bytes);
  Accepted<Step> DecodeTrailer(std::string_view bytes);

  const ConnectionLimits* limits_;
  State state_ = State::kSize;
  uint64_t left_ = 0;  // of the current chunk
  size_t trailer_bytes_ = 0;
};

}  // namespace msb::server::http
