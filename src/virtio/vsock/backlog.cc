#include "src/virtio/vsock/backlog.h"

#include <sys/socket.h>

#include <algorithm>
#include <span>

namespace msb::virtio::vsock {

using base::FailErrno;
using base::Result;

bool Backlog::Append(const GuestMemory& memory, const GuestSlice& from) {
  if (from.length > room()) return false;
  if (from.length == 0) return true;
  if (bytes_ == nullptr) bytes_ = std::make_unique_for_overwrite<std::byte[]>(capacity_);
  const uint32_t end = (begin_ + size_) % capacity_;
  const auto first = std::min<uint64_t>(from.length, ContiguousFrom(end));
  const uint64_t second = from.length - first;
  if (memory.Gather(from, std::span(bytes_.get() + end, first)) != first) return false;
  if (memory.Gather(from.Sub(first), std::span(bytes_.get(), second)) != second) return false;
  size_ += static_cast<uint32_t>(from.length);
  return true;
}

Result<uint32_t> Backlog::SendTo(int socket_fd) {
  uint32_t total = 0;
  while (size_ > 0) {
    const uint32_t count = std::min(size_, ContiguousFrom(begin_));
    const ssize_t sent =
        ::send(socket_fd, bytes_.get() + begin_, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) return FailErrno("cannot send to a stream");
    begin_ = (begin_ + static_cast<uint32_t>(sent)) % capacity_;
    size_ -= static_cast<uint32_t>(sent);
    total += static_cast<uint32_t>(sent);
  }
  if (size_ == 0) Clear();
  return total;
}

void Backlog::Clear() {
  bytes_.reset();
  begin_ = size_ = 0;
}

}  // namespace msb::virtio::vsock
