#include "src/vmm/uml/server.h"

#include <sys/socket.h>

#include <utility>

#include "src/base/sys.h"

namespace msb::vmm::uml {

using base::ErrorCode;
using base::FailErrno;
using base::Result;
using base::Status;

Result<std::unique_ptr<Server>> Server::Create(base::EventLoop& loop, base::UniqueFd listener,
                                               std::string name, virtio::Device& device,
                                               GuestFile& memory, BackendEvents& events) {
  std::unique_ptr<Server> server(new Server(loop, std::move(name), events));
  Server* self = server.get();
  server->backend_ = TRY(Backend::Create(loop, device, memory, self->events_));
  // A front end that connects and leaves at once must not make accept wait.
  TRY(base::SetNonBlocking(listener.get(), true));
  server->listener_ = std::move(listener);
  server->listener_watch_ = TRY(loop.Add(self->listener_.get(), EPOLLIN, [self](uint32_t) {
    if (const Status status = self->Accept(); !status) self->End(status.error());
  }));
  return server;
}

Status Server::Accept() {
  base::UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return {};
    return FailErrno("cannot accept the guest");
  }
  listener_watch_.Reset();
  listener_.Reset();
  socket_ = std::move(socket);
  socket_watch_ = TRY(loop_.Add(socket_.get(), EPOLLIN, [this](uint32_t) {
    if (const Status status = ReadMessages(); !status) End(status.error());
  }));
  return {};
}

Status Server::ReadMessages() {
  // Bounded, so that a front end that never stops talking leaves a turn to the others.
  for (int i = 0; i < 64; ++i) {
    std::optional<Message> message = TRY(reader_.Next(socket_.get()));
    if (!message) return {};
    const std::optional<Message> reply = TRY(backend_->Handle(*std::move(message)));
    if (!reply) continue;
    std::array<std::byte, sizeof(MessageHeader) + kMaxPayload> packet;
    std::memcpy(packet.data(), &reply->header, sizeof reply->header);
    std::memcpy(packet.data() + sizeof reply->header, reply->bytes.data(), reply->header.size);
    const size_t size = sizeof reply->header + reply->header.size;
    const ssize_t sent = ::send(socket_.get(), packet.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return FailErrno("cannot reply");
    // A front end that asks and does not read.
    if (sent != static_cast<ssize_t>(size)) {
      return base::Fail(ErrorCode::kProtocol, "replies are not read");
    }
  }
  return {};
}

void Server::End(const base::Error& why) {
  socket_watch_.Reset();
  socket_.Reset();
  backend_->Disconnected();
  if (why.code() != ErrorCode::kClosed) events_.GuestBroken(why.message());
}

}  // namespace msb::vmm::uml
