#include "src/image/disk_template.h"

#include <unistd.h>

#include "src/base/sys.h"
#include "src/image/little_endian.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kMaxTemplate = 4 << 20;  // bytes of the packed form; ours have less than 200 KiB
constexpr std::string_view kMagic = "msbdisk1";
constexpr size_t kHeader = 24;
constexpr size_t kExtent = 16;

}  // namespace

base::Status UnpackDisk(const std::string& path, int disk_fd) {
  const std::string packed = TRY(base::ReadFile(path, kMaxTemplate));
  const auto damaged = [&] { return Fail(ErrorCode::kCorrupt, "{} is damaged", path); };
  if (packed.size() < kHeader || !packed.starts_with(kMagic)) return damaged();
  const uint64_t size = Load64(packed.data() + 8);
  const uint64_t count = Load64(packed.data() + 16);
  if (count > (packed.size() - kHeader) / kExtent) return damaged();
  if (::ftruncate(disk_fd, static_cast<off_t>(size)) < 0) {
    return base::FailErrno("cannot make a file of {} bytes", size);
  }
  std::string_view data = std::string_view(packed).substr(kHeader + count * kExtent);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t offset = Load64(packed.data() + kHeader + i * kExtent);
    const uint64_t length = Load64(packed.data() + kHeader + i * kExtent + 8);
    if (length > data.size() || offset > size || length > size - offset) return damaged();
    TRY(base::PwriteFull(disk_fd, std::as_bytes(std::span(data.substr(0, length))), offset));
    data.remove_prefix(length);
  }
  return {};
}

}  // namespace msb::image
