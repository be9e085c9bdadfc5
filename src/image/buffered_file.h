// Appends to a regular file through a large buffer. One thread; the descriptor is borrowed. Errors:
// those of write(2) and lseek(2). Flush before the file is used.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "src/base/result.h"

namespace msb::image {

class BufferedFile {
 public:
  explicit BufferedFile(int fd) : fd_(fd) { buffer_.reserve(kCapacity); }

  base::Status Append(std::string_view data);
  base::Status AppendZeroes(uint64_t count);
  base::Status Flush();
  uint64_t size() const { return size_; }  // flushed or not

 private:
  static constexpr size_t kCapacity = 1 << 20;

  int fd_;
  uint64_t size_ = 0;
  std::string buffer_;
};

}  // namespace msb::image
