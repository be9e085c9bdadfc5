#include "src/vmm/uml/message.h"

#include <utility>

#include "src/base/sys.h"

namespace msb::vmm::uml {

using base::ErrorCode;
using base::Fail;
using base::Result;
using base::Status;

namespace {

// No message brings more than one; a few more are tolerated and closed.
constexpr size_t kMaxFds = 8;

}  // namespace

Status CheckHeader(const MessageHeader& header) {
  if ((header.flags & kVersionMask) != kVersion || (header.flags & kFlagReply) != 0) {
    return Fail(ErrorCode::kProtocol, "vhost-user flags {:#x}", header.flags);
  }
  if (header.size > kMaxPayload) {
    return Fail(ErrorCode::kProtocol, "a vhost-user message {} of {} bytes", header.request,
                header.size);
  }
  return {};
}

// True once `rest` is filled. Never reads past it, so that descriptors stay with their message.
Result<bool> MessageReader::Receive(int socket_fd, std::span<std::byte> rest) {
  if (rest.empty()) return true;
  Result<base::Received> received = base::ReceiveWithFds(socket_fd, rest, /*nonblocking=*/true);
  if (!received) {
    if (received.error().code() == ErrorCode::kBusy) return false;
    return received.error();
  }
  if (received->size == 0) return Fail(ErrorCode::kClosed, "the guest has disconnected");
  for (base::UniqueFd& fd : received->fds) {
    if (message_.fds.size() < kMaxFds) message_.fds.push_back(std::move(fd));
  }
  received_ += received->size;
  return received->size == rest.size();
}

Result<std::optional<Message>> MessageReader::Next(int socket_fd) {
  constexpr size_t kHeader = sizeof(MessageHeader);
  if (received_ < kHeader) {
    const auto header = std::as_writable_bytes(std::span(&message_.header, 1));
    if (!TRY(Receive(socket_fd, header.subspan(received_)))) return std::optional<Message>();
    TRY(CheckHeader(message_.header));
  }
  const auto payload = std::span(message_.bytes).first(message_.header.size);
  if (!TRY(Receive(socket_fd, payload.subspan(received_ - kHeader)))) {
    return std::optional<Message>();
  }
  received_ = 0;
  return std::optional(std::exchange(message_, {}));
}

}  // namespace msb::vmm::uml
