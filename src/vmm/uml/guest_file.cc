#include "src/vmm/uml/guest_file.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "src/base/sys.h"
#include "src/vmm/guest_fault.h"

namespace msb::vmm::uml {

using base::ErrorCode;
using base::Fail;
using base::FailErrno;
using base::Result;

Result<const virtio::GuestMemory*> GuestFile::Accept(int fd, const MemoryRegion& region) {
  const struct stat file = TRY(base::Stat(fd));
  struct statfs file_system = {};
  if (::fstatfs(fd, &file_system) < 0) return FailErrno("fstatfs failed");
  if (!S_ISREG(file.st_mode) || file_system.f_type != TMPFS_MAGIC) {
    return Fail(ErrorCode::kDenied, "guest memory that is not a file in memory");
  }
  const auto file_bytes = static_cast<uint64_t>(file.st_size);
  if (file_bytes > max_bytes_ || region.file_offset > file_bytes ||
      region.size > file_bytes - region.file_offset) {
    return Fail(ErrorCode::kDenied, "guest memory of {} bytes in a file of {} (configured: {})",
                region.size, file_bytes, max_bytes_);
  }
  const Identity identity = {file.st_dev, file.st_ino, region.guest_address, region.size,
                             region.file_offset};
  if (memory_ != nullptr) {
    if (identity != identity_) return Fail(ErrorCode::kDenied, "guest memory has changed");
    return memory_.get();
  }
  const virtio::GuestMemory::Region mapped = {region.guest_address, region.size, region.file_offset,
                                              virtio::Rights::kReadWrite};
  memory_ = TRY(virtio::GuestMemory::Map(fd, std::span(&mapped, 1)));
  identity_ = identity;
  GuardGuestMemory(memory_.get());
  return memory_.get();
}

}  // namespace msb::vmm::uml
