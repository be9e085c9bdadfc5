// The decompressed bytes of a tar, with a position and a limit: records and contents for the tar
// reader.
//
// One thread. Errors: kCorrupt where the tar ends too early, kLimit beyond the
// limits on what a compressed layer may expand to, or those of the source.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "src/base/result.h"
#include "src/image/byte_source.h"

namespace msb::image {

class TarStream {
 public:
  // `source` is borrowed. At most `max_bytes` in all.
  TarStream(ByteSource& source, uint64_t max_bytes) : source_(source), max_bytes_(max_bytes) {}

  // Fills `out`; false if the stream has ended exactly here.
  base::Result<bool> ReadRecord(std::span<char> out);
  // Between 1 and `max` bytes, valid until the next call.
  base::Result<std::string_view> ReadSome(uint64_t max);
  base::Status Skip(uint64_t bytes);
  base::Result<bool> AtEnd() { return !TRY(Fill()); }
  // Reads to the end of the source.
  base::Status Drain();

  uint64_t position() const { return position_; }  // bytes handed out

 private:
  base::Result<bool> Fill();  // false at the end

  ByteSource& source_;
  uint64_t max_bytes_;
  std::string_view piece_;
  uint64_t position_ = 0;
  uint64_t fetched_ = 0;
};

}  // namespace msb::image
