// GuestMemory: the guest's RAM as devices see it.
//
// Owned by the machine, shared by its devices, used on the event loop's thread only. Everything in
// it is written by a hostile guest at any moment, so it is reached by copy alone: no pointer into
// it leaves this class (DESIGN.md, "Rules of the guest-facing code", 1). Files and sockets are read
// and written in place through slices, by system calls, which turn a hole in the guest's file into
// EFAULT; a copy of ours that meets one raises SIGBUS (src/vmm/guest_fault.h).
//
// Addresses outside a region, and ranges that cross a region's end, are refused: false or nullopt
// from the copies, kInvalid from the bulk operations.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "src/base/result.h"

namespace msb::virtio {

struct GuestRange {
  uint64_t address = 0;
  uint32_t length = 0;
};

// `length` bytes of the concatenated ranges, from byte `skip` on. Does not own the ranges.
struct GuestSlice {
  std::span<const GuestRange> ranges;
  uint64_t skip = 0;
  uint64_t length = 0;

  // Bytes [offset, offset + count) of this slice, cut at its end.
  GuestSlice Sub(uint64_t offset, uint64_t count = UINT64_MAX) const;
};

enum class Rights { kRead, kReadWrite };  // the devices', not the guest's

class GuestMemory {
 public:
  struct Region {
    uint64_t address = 0;  // guest-physical
    uint64_t size = 0;
    uint64_t file_offset = 0;  // of a page
    Rights rights = Rights::kReadWrite;
  };

  // Maps parts of a file (shared) as guest memory. The descriptor may be closed afterwards. Errors:
  // kInvalid for regions that are empty, unaligned, overlapping or beyond 64 bits.
  static base::Result<std::unique_ptr<GuestMemory>> Map(int fd, std::span<const Region> regions);
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory();

  bool Contains(GuestRange range, Rights rights) const;

  // --- copies ---
  bool Read(uint64_t address, std::span<std::byte> out) const;
  bool Write(uint64_t address, std::span<const std::byte> in) const;
  template <typename T>
  std::optional<T> Load(uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (!Read(address, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
    return value;
  }
  template <typename T>
  bool Store(uint64_t address, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    return Write(address, std::as_bytes(std::span(&value, 1)));
  }
  // The indexes of a ring: `address` must be even.
  std::optional<uint16_t> LoadAcquire16(uint64_t address) const;
  bool StoreRelease16(uint64_t address, uint16_t value) const;

  // --- slices: bytes copied, short at the slice's end or at a range that is refused ---
  size_t Gather(const GuestSlice& from, std::span<std::byte> out) const;
  size_t Scatter(const GuestSlice& to, std::span<const std::byte> in) const;
  uint64_t Zero(const GuestSlice& to) const;

  // --- bulk: one system call, may be short ---
  // sys_errno EFAULT: the guest's memory has a hole.
  base::Result<size_t> ReadFile(int fd, uint64_t offset, const GuestSlice& to) const;
  base::Result<size_t> WriteFile(int fd, uint64_t offset, const GuestSlice& from) const;
  // From and to a stream socket, never waiting (kBusy) and without SIGPIPE. Receive fills the
  // slices in order; 0 is end-of-file.
  base::Result<size_t> Receive(int fd, std::span<const GuestSlice> to) const;
  base::Result<size_t> Send(int fd, const GuestSlice& from) const;

  // Whether a host address that faulted lies in here. Async-signal-safe.
  bool OwnsHostAddress(const void* address) const;

 private:
  struct Mapping {
    Region region;
    std::byte* host = nullptr;
  };
  class Iovecs;
  explicit GuestMemory(std::vector<Mapping> mappings) : mappings_(std::move(mappings)) {}
  std::byte* Translate(uint64_t address, uint64_t length, Rights rights) const;

  std::vector<Mapping> mappings_;
};

}  // namespace msb::virtio
