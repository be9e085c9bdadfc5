// Disk: the bytes behind a block device, as a list of runs of files (an "extent list"), so that one
// virtual disk is an image's metadata followed by the blobs of its layers.
//
// Owned by its BlockDevice, one thread. Offsets and lengths are bytes and must lie within size();
// the device checks, since they come from a guest. Errors are those of the system calls: kNoSpace
// when the host's disk is full, sys_errno EFAULT when the guest's memory has a hole.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/virtio/guest_memory.h"

namespace msb::virtio::block {

class Disk {
 public:
  struct Part {
    std::shared_ptr<const base::UniqueFd> file;  // null: reads as zeroes
    uint64_t offset = 0;                         // in the file
    uint64_t length = 0;                         // multiple of a sector
  };

  // kInvalid for parts that are empty, unaligned or overflow; a writable disk has one part with a
  // file.
  static base::Result<Disk> Create(std::vector<Part> parts, bool read_only);

  uint64_t size() const { return size_; }
  bool read_only() const { return read_only_; }
  bool can_punch() const { return can_punch_; }  // Discard works on the host's file system
  int file_fd() const { return parts_.front().part.file->get(); }  // of a writable disk

  // What lies beyond a file's end reads as zeroes.
  base::Status Read(const GuestMemory& memory, uint64_t offset, const GuestSlice& to) const;
  base::Status Write(const GuestMemory& memory, uint64_t offset, const GuestSlice& from) const;
  // Gives the space back to the host; the range reads as zeroes afterwards.
  base::Status Discard(uint64_t offset, uint64_t length) const;

 private:
  struct Placed {
    uint64_t start = 0;  // on the disk
    Part part;
  };
  Disk() = default;
  const Placed& At(uint64_t offset) const;

  std::vector<Placed> parts_;
  uint64_t size_ = 0;
  bool read_only_ = true;
  bool can_punch_ = false;
};

}  // namespace msb::virtio::block
