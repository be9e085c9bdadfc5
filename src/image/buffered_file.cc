#include "src/image/buffered_file.h"

#include <unistd.h>

#include <algorithm>

#include "src/base/sys.h"

namespace msb::image {

base::Status BufferedFile::Append(std::string_view data) {
  size_ += data.size();
  while (!data.empty()) {
    const size_t part = std::min(data.size(), kCapacity - buffer_.size());
    buffer_.append(data.substr(0, part));
    data.remove_prefix(part);
    if (buffer_.size() == kCapacity) TRY(Flush());
  }
  return {};
}

base::Status BufferedFile::AppendZeroes(uint64_t count) {
  if (count > kCapacity) {  // a hole, of whole buffers
    TRY(Flush());
    const uint64_t hole = count - count % kCapacity;
    const off_t end = ::lseek(fd_, static_cast<off_t>(hole), SEEK_CUR);
    if (end < 0 || ::ftruncate(fd_, end) < 0) return base::FailErrno("write failed");
    size_ += hole;
    count -= hole;
  }
  size_ += count;
  while (count > 0) {
    const size_t part = std::min<uint64_t>(count, kCapacity - buffer_.size());
    buffer_.append(part, '\0');
    count -= part;
    if (buffer_.size() == kCapacity) TRY(Flush());
  }
  return {};
}

base::Status BufferedFile::Flush() {
  TRY(base::WriteFull(fd_, buffer_));
  buffer_.clear();
  return {};
}

}  // namespace msb::image
