// Tar writer: POSIX (PAX) archives, reproducible byte for byte.
//
// Plain ustar where that can say it, an extended header before the entry where it cannot: long
// names, large numbers, parts of seconds, attributes, holes (GNU sparse format 1.0). One thread.
// Errors: those of the sink.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "src/image/tar_header.h"
#include "src/image/tar_reader.h"

namespace msb::image {

class TarWriter {
 public:
  using Sink = std::function<base::Status(std::string_view)>;

  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}

  // The entry's headers. A file's contents (of a sparse one: of its segments) must follow.
  base::Status Begin(const TarMember& member);
  base::Status Data(std::string_view data) { return Put(data); }
  base::Status EndData();
  base::Status Finish();  // the archive's end

 private:
  base::Status Put(std::string_view data);
  base::Status Pad();

  Sink sink_;
  uint64_t position_ = 0;
};

}  // namespace msb::image
