#include "src/agent/guest/vsock_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
// After sys/socket.h, whose types it uses.
#include <linux/vm_sockets.h>

#include <utility>

#include "src/agent/protocol.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr int kBacklog = 128;

sockaddr_vm Address(uint32_t cid, uint32_t port) {
  sockaddr_vm address = {};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

}  // namespace

base::Result<std::unique_ptr<VsockListener>> VsockListener::Listen(
    base::EventLoop& loop, std::function<void(base::UniqueFd)> on_accept) {
  auto listener = std::make_unique<VsockListener>();
  listener->on_accept_ = std::move(on_accept);
  listener->socket_.Reset(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_vm address = Address(VMADDR_CID_ANY, kPort);
  if (!listener->socket_ ||
      ::bind(listener->socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) <
          0 ||
      ::listen(listener->socket_.get(), kBacklog) < 0) {
    return base::FailErrno("cannot listen on vsock port {}", kPort);
  }
  listener->watch_ = TRY(loop.Add(listener->socket_.get(), EPOLLIN,
                                  [raw = listener.get()](uint32_t) { raw->Accept(); }));
  return listener;
}

void VsockListener::Announce() {
  const base::UniqueFd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_vm host = Address(kHostCid, kAnnouncePort);
  (void)::connect(socket.get(), reinterpret_cast<const sockaddr*>(&host), sizeof host);
}

void VsockListener::Accept() {
  for (;;) {
    sockaddr_vm peer = {};
    socklen_t length = sizeof peer;
    base::UniqueFd connection(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &length,
                                        SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection) {
      if (peer.svm_cid == kHostCid) on_accept_(std::move(connection));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if ((errno == EMFILE || errno == ENFILE) && spare_) {
      // Refuse it rather than be told of it for ever.
      spare_.Reset();
      base::UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
    break;
  }
  if (!spare_) spare_.Reset(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace msb::agent
