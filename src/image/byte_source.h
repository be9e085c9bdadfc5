// Byte sources: a descriptor, and what it decompresses to.
//
// OpenSource looks at the first bytes and chooses: gzip (several members), zstd (several frames,
// skippable ones too), or the bytes as they are. Formats that other tools write but images may not
// use (xz, bzip2) are named in the error. What follows the compressed data may only be zeroes.
//
// A source belongs to one thread. Errors: kCorrupt, kUnsupported, or those of read(2). Takes
// hostile input; memory is bounded by the window (zstd: at most 128 MiB).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "src/base/result.h"

namespace msb::image {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next piece, valid until the next call; empty at the end.
  virtual base::Result<std::string_view> Next() = 0;
  // Bytes read from the descriptor so far, before decompression.
  virtual uint64_t consumed() const = 0;
};

// Reads from `fd` (borrowed) to its end.
base::Result<std::unique_ptr<ByteSource>> OpenSource(int fd);

}  // namespace msb::image
