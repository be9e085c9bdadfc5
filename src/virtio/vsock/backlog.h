// Backlog: bytes from the guest that a host socket has not taken yet, at most `capacity` of them.
//
// Owned by one Connection. Its memory exists only while it holds something: an idle connection, or
// one whose reader keeps up, costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "src/base/result.h"
#include "src/virtio/guest_memory.h"

namespace msb::virtio::vsock {

class Backlog {
 public:
  explicit Backlog(uint32_t capacity) : capacity_(capacity) {}

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  uint32_t room() const { return capacity_ - size_; }

  // False if there is no room or the slice is not in guest memory.
  bool Append(const GuestMemory& memory, const GuestSlice& from);
  // Sends what the socket takes without waiting; returns the bytes that left. kBusy is not an error
  // here: fewer bytes leave.
  base::Result<uint32_t> SendTo(int socket_fd);
  void Clear();

 private:
  uint32_t ContiguousFrom(uint32_t position) const { return capacity_ - position; }

  const uint32_t capacity_;
  std::unique_ptr<std::byte[]> bytes_;  // a ring
  uint32_t begin_ = 0;
  uint32_t size_ = 0;
};

}  // namespace msb::virtio::vsock
