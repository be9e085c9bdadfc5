// Message: one vhost-user message, and the reader that takes them from a socket bit by bit.
//
// The other side is hostile (jail B): sizes are bounded before anything is read into place, a
// message that stops in the middle only waits, and descriptors that nobody wants are closed with
// the message. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/vmm/uml/wire.h"

namespace msb::vmm::uml {

struct Message {
  MessageHeader header = {};
  std::array<std::byte, kMaxPayload> bytes = {};
  std::vector<base::UniqueFd> fds;

  Request request() const { return Request{header.request}; }
  std::span<const std::byte> payload() const { return std::span(bytes).first(header.size); }
  // The payload as exactly one T.
  template <typename T>
  base::Result<T> As() const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMaxPayload);
    if (header.size != sizeof(T)) {
      return base::Fail(base::ErrorCode::kProtocol, "a vhost-user message {} of {} bytes",
                        header.request, header.size);
    }
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
};

// kProtocol unless the header announces a message this side accepts.
base::Status CheckHeader(const MessageHeader& header);

// A reply to `request`.
template <typename T>
Message MakeReply(Request request, const T& payload) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMaxPayload);
  Message reply;
  reply.header = {static_cast<uint32_t>(request), kVersion | kFlagReply, sizeof(T)};
  std::memcpy(reply.bytes.data(), &payload, sizeof payload);
  return reply;
}

class MessageReader {
 public:
  // The next whole message; nullopt if more must arrive first. Errors: kClosed at the end of the
  // stream, kProtocol for what cannot be a message.
  base::Result<std::optional<Message>> Next(int socket_fd);

 private:
  base::Result<bool> Receive(int socket_fd, std::span<std::byte> rest);

  Message message_;
  size_t received_ = 0;  // header and payload
};

}  // namespace msb::vmm::uml
