// GuestFile: decides whether the memory that a User-Mode Linux offers is what a guest of ours may
// have, and maps it once for all devices.
//
// Owned by the machine, on the event loop's thread. The descriptor comes from jail B: it must be a
// regular file on a tmpfs, no larger than the guest's configured memory. UML says it once a device,
// each time the same; anything else is refused.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "src/base/result.h"
#include "src/virtio/guest_memory.h"
#include "src/vmm/uml/wire.h"

namespace msb::vmm::uml {

class GuestFile {
 public:
  explicit GuestFile(uint64_t max_bytes) : max_bytes_(max_bytes) {}
  GuestFile(const GuestFile&) = delete;

  // The memory, valid as long as this object. Errors: kDenied for a file or region that is refused.
  base::Result<const virtio::GuestMemory*> Accept(int fd, const MemoryRegion& region);

 private:
  struct Identity {
    dev_t device;
    ino_t inode;
    uint64_t address;
    uint64_t size;
    uint64_t offset;
    bool operator==(const Identity&) const = default;
  };

  const uint64_t max_bytes_;
  std::unique_ptr<virtio::GuestMemory> memory_;
  Identity identity_ = {};
};

}  // namespace msb::vmm::uml
