#include "src/virtio/block/disk.h"

#include <fcntl.h>

#include <algorithm>

#include "src/virtio/block/wire.h"

namespace msb::virtio::block {
namespace {

using base::ErrorCode;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

// Beyond the file's end a punch changes nothing, but says whether the file system can.
bool CanPunch(int fd, uint64_t end) {
  return ::fallocate(fd, kPunch, static_cast<off_t>(end), kSectorBytes) == 0;
}

Status ReadPart(const GuestMemory& memory, const Disk::Part& part, uint64_t offset, GuestSlice to) {
  while (to.length > 0 && part.file != nullptr) {
    const size_t count = TRY(memory.ReadFile(part.file->get(), part.offset + offset, to));
    if (count == 0) break;
    offset += count;
    to = to.Sub(count);
  }
  if (memory.Zero(to) != to.length) {
    return Fail(ErrorCode::kInvalid, "an address outside guest memory");
  }
  return {};
}

}  // namespace

Result<Disk> Disk::Create(std::vector<Part> parts, bool read_only) {
  Disk disk;
  disk.read_only_ = read_only;
  for (Part& part : parts) {
    const bool fits = part.length <= INT64_MAX - disk.size_ && part.offset <= INT64_MAX &&
                      part.length <= INT64_MAX - part.offset;
    if (part.length == 0 || part.length % kSectorBytes != 0 || !fits) {
      return Fail(ErrorCode::kInvalid, "a disk part of {} bytes at {}", part.length, part.offset);
    }
    const uint64_t start = disk.size_;
    disk.size_ += part.length;
    disk.parts_.push_back({start, std::move(part)});
  }
  if (disk.parts_.empty()) return Fail(ErrorCode::kInvalid, "a disk without parts");
  if (!read_only) {
    const Part& part = disk.parts_.front().part;
    if (disk.parts_.size() != 1 || part.file == nullptr) {
      return Fail(ErrorCode::kInvalid, "a writable disk must be one run of a file");
    }
    disk.can_punch_ = CanPunch(part.file->get(), part.offset + part.length);
  }
  return disk;
}

const Disk::Placed& Disk::At(uint64_t offset) const {
  const auto after = std::ranges::upper_bound(parts_, offset, {}, &Placed::start);
  return *std::prev(after);
}

Status Disk::Read(const GuestMemory& memory, uint64_t offset, const GuestSlice& to) const {
  CHECK(offset <= size_ && to.length <= size_ - offset);
  for (uint64_t done = 0; done < to.length;) {
    const Placed& placed = At(offset + done);
    const uint64_t within = offset + done - placed.start;
    const GuestSlice piece = to.Sub(done, placed.part.length - within);
    TRY(ReadPart(memory, placed.part, within, piece));
    done += piece.length;
  }
  return {};
}

Status Disk::Write(const GuestMemory& memory, uint64_t offset, const GuestSlice& from) const {
  CHECK(!read_only_ && offset <= size_ && from.length <= size_ - offset);
  const Part& part = parts_.front().part;
  for (uint64_t done = 0; done < from.length;) {
    done += TRY(memory.WriteFile(part.file->get(), part.offset + offset + done, from.Sub(done)));
  }
  return {};
}

Status Disk::Discard(uint64_t offset, uint64_t length) const {
  CHECK(!read_only_ && offset <= size_ && length <= size_ - offset);
  const Part& part = parts_.front().part;
  if (length > 0 && ::fallocate(part.file->get(), kPunch, static_cast<off_t>(part.offset + offset),
                                static_cast<off_t>(length)) < 0) {
    return FailErrno("cannot punch a hole in a disk");
  }
  return {};
}

}  // namespace msb::virtio::block
