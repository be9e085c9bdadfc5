#include "src/virtio/guest_memory.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace msb::virtio {
namespace {

using base::ErrorCode;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

constexpr uint64_t kPage = 4096;
constexpr size_t kMaxIovecs = 1024;  // IOV_MAX of Linux

Status CheckRegion(const GuestMemory::Region& region) {
  const bool aligned =
      region.address % kPage == 0 && region.size % kPage == 0 && region.file_offset % kPage == 0;
  if (region.size == 0 || !aligned) {
    return Fail(ErrorCode::kInvalid, "a memory region is empty or not made of pages");
  }
  constexpr uint64_t kMax = INT64_MAX;  // off_t, and no sum of two overflows
  if (region.address > kMax || region.size > kMax - region.address ||
      region.file_offset > kMax - region.size) {
    return Fail(ErrorCode::kInvalid, "a memory region is beyond what can be addressed");
  }
  return {};
}

bool Overlap(const GuestMemory::Region& a, const GuestMemory::Region& b) {
  return a.address < b.address + b.size && b.address < a.address + a.size;
}

}  // namespace

GuestSlice GuestSlice::Sub(uint64_t offset, uint64_t count) const {
  const uint64_t start = std::min(offset, length);
  return {ranges, skip + start, std::min(count, length - start)};
}

// The host's view of a slice, for one system call; longer slices are cut, which makes I/O short.
class GuestMemory::Iovecs {
 public:
  explicit Iovecs(const GuestMemory& memory) : memory_(memory) {}

  Status Add(const GuestSlice& slice, Rights rights) {
    uint64_t skip = slice.skip;
    uint64_t left = slice.length;
    for (const GuestRange& range : slice.ranges) {
      if (left == 0 || count_ == kMaxIovecs) break;
      if (skip >= range.length) {
        skip -= range.length;
        continue;
      }
      const uint64_t length = std::min<uint64_t>(range.length - skip, left);
      std::byte* host = memory_.Translate(range.address + skip, length, rights);
      if (host == nullptr) return Fail(ErrorCode::kInvalid, "an address outside guest memory");
      Append(host, length);
      skip = 0;
      left -= length;
    }
    return {};
  }

  iovec* data() { return parts_.data(); }
  size_t size() const { return count_; }

 private:
  void Append(std::byte* host, uint64_t length) {
    if (count_ > 0) {
      iovec& last = parts_[count_ - 1];
      if (static_cast<std::byte*>(last.iov_base) + last.iov_len == host) {
        last.iov_len += length;
        return;
      }
    }
    parts_[count_++] = {host, length};
  }

  const GuestMemory& memory_;
  size_t count_ = 0;
  std::array<iovec, kMaxIovecs> parts_;  // not initialised: 16 KiB on the path of each request
};

Result<std::unique_ptr<GuestMemory>> GuestMemory::Map(int fd, std::span<const Region> regions) {
  for (const Region& region : regions) {
    TRY(CheckRegion(region));
    for (const Region& other : regions) {
      if (&other != &region && Overlap(region, other)) {
        return Fail(ErrorCode::kInvalid, "memory regions overlap");
      }
    }
  }
  // Made first, so that what is mapped already is unmapped when a later region fails.
  std::unique_ptr<GuestMemory> memory(new GuestMemory({}));
  for (const Region& region : regions) {
    const int protection = region.rights == Rights::kReadWrite ? PROT_READ | PROT_WRITE : PROT_READ;
    void* host = ::mmap(nullptr, region.size, protection, MAP_SHARED | MAP_NORESERVE, fd,
                        static_cast<off_t>(region.file_offset));
    if (host == MAP_FAILED) return FailErrno("cannot map guest memory");
    memory->mappings_.push_back({region, static_cast<std::byte*>(host)});
    // The guest's secrets do not belong in a core file of ours.
    ::madvise(host, region.size, MADV_DONTDUMP);
  }
  return memory;
}

GuestMemory::~GuestMemory() {
  for (const Mapping& mapping : mappings_) ::munmap(mapping.host, mapping.region.size);
}

std::byte* GuestMemory::Translate(uint64_t address, uint64_t length, Rights rights) const {
  for (const Mapping& mapping : mappings_) {
    const Region& region = mapping.region;
    if (address < region.address) continue;
    const uint64_t offset = address - region.address;
    if (offset > region.size || length > region.size - offset) continue;
    if (rights == Rights::kReadWrite && region.rights != Rights::kReadWrite) return nullptr;
    return mapping.host + offset;
  }
  return nullptr;
}

bool GuestMemory::Contains(GuestRange range, Rights rights) const {
  return Translate(range.address, range.length, rights) != nullptr;
}

bool GuestMemory::Read(uint64_t address, std::span<std::byte> out) const {
  const std::byte* host = Translate(address, out.size(), Rights::kRead);
  if (host == nullptr) return false;
  if (!out.empty()) std::memcpy(out.data(), host, out.size());
  return true;
}

bool GuestMemory::Write(uint64_t address, std::span<const std::byte> in) const {
  std::byte* host = Translate(address, in.size(), Rights::kReadWrite);
  if (host == nullptr) return false;
  if (!in.empty()) std::memcpy(host, in.data(), in.size());
  return true;
}

std::optional<uint16_t> GuestMemory::LoadAcquire16(uint64_t address) const {
  const std::byte* host = Translate(address, sizeof(uint16_t), Rights::kRead);
  if (host == nullptr || address % sizeof(uint16_t) != 0) return std::nullopt;
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(host), __ATOMIC_ACQUIRE);
}

bool GuestMemory::StoreRelease16(uint64_t address, uint16_t value) const {
  std::byte* host = Translate(address, sizeof value, Rights::kReadWrite);
  if (host == nullptr || address % sizeof value != 0) return false;
  __atomic_store_n(reinterpret_cast<uint16_t*>(host), value, __ATOMIC_RELEASE);
  return true;
}

namespace {

// Calls `step(address, length, done)` for each piece of the slice until one returns false.
template <typename Step>
uint64_t ForEachPiece(const GuestSlice& slice, uint64_t limit, Step&& step) {
  uint64_t skip = slice.skip;
  const uint64_t total = std::min(slice.length, limit);
  uint64_t done = 0;
  for (const GuestRange& range : slice.ranges) {
    if (done == total) break;
    if (skip >= range.length) {
      skip -= range.length;
      continue;
    }
    const uint64_t length = std::min<uint64_t>(range.length - skip, total - done);
    if (!step(range.address + skip, length, done)) break;
    skip = 0;
    done += length;
  }
  return done;
}

}  // namespace

size_t GuestMemory::Gather(const GuestSlice& from, std::span<std::byte> out) const {
  return ForEachPiece(from, out.size(), [&](uint64_t address, uint64_t length, uint64_t done) {
    return Read(address, out.subspan(done, length));
  });
}

size_t GuestMemory::Scatter(const GuestSlice& to, std::span<const std::byte> in) const {
  return ForEachPiece(to, in.size(), [&](uint64_t address, uint64_t length, uint64_t done) {
    return Write(address, in.subspan(done, length));
  });
}

uint64_t GuestMemory::Zero(const GuestSlice& to) const {
  return ForEachPiece(to, UINT64_MAX, [&](uint64_t address, uint64_t length, uint64_t) {
    std::byte* host = Translate(address, length, Rights::kReadWrite);
    if (host != nullptr) std::memset(host, 0, length);
    return host != nullptr;
  });
}

namespace {

template <typename Call>
Result<size_t> Transfer(const char* what, Call&& call) {
  ssize_t count;
  do {
    count = call();
  } while (count < 0 && errno == EINTR);
  // The common answer of a socket that is drained costs no formatting.
  if (count < 0 && errno == EAGAIN) return base::Error(ErrorCode::kBusy, "busy", EAGAIN);
  if (count < 0) return FailErrno("{}", what);
  return static_cast<size_t>(count);
}

}  // namespace

Result<size_t> GuestMemory::ReadFile(int fd, uint64_t offset, const GuestSlice& to) const {
  Iovecs parts(*this);
  TRY(parts.Add(to, Rights::kReadWrite));
  return Transfer("cannot read a disk", [&] {
    return ::preadv(fd, parts.data(), static_cast<int>(parts.size()), static_cast<off_t>(offset));
  });
}

Result<size_t> GuestMemory::WriteFile(int fd, uint64_t offset, const GuestSlice& from) const {
  Iovecs parts(*this);
  TRY(parts.Add(from, Rights::kRead));
  return Transfer("cannot write a disk", [&] {
    return ::pwritev(fd, parts.data(), static_cast<int>(parts.size()), static_cast<off_t>(offset));
  });
}

Result<size_t> GuestMemory::Receive(int fd, std::span<const GuestSlice> to) const {
  Iovecs parts(*this);
  for (const GuestSlice& slice : to) TRY(parts.Add(slice, Rights::kReadWrite));
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return Transfer("cannot receive", [&] { return ::recvmsg(fd, &message, MSG_DONTWAIT); });
}

Result<size_t> GuestMemory::Send(int fd, const GuestSlice& from) const {
  Iovecs parts(*this);
  TRY(parts.Add(from, Rights::kRead));
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return Transfer("cannot send",
                  [&] { return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

bool GuestMemory::OwnsHostAddress(const void* address) const {
  const auto* at = static_cast<const std::byte*>(address);
  return std::ranges::any_of(mappings_, [at](const Mapping& mapping) {
    return at >= mapping.host && at < mapping.host + mapping.region.size;
  });
}

}  // namespace msb::virtio
