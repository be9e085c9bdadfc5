#include "src/server/http/peer_check.h"

#include <unistd.h>

#include <cstring>

#include "src/base/sock_diag.h"

namespace msb::server::http {
namespace {

using base::ErrorCode;
using base::Fail;

base::TcpEnd EndOf(const Endpoint& endpoint) {
  base::TcpEnd end;
  end.port = endpoint.port();
  if (endpoint.address().is_v6()) {
    end.family = AF_INET6;
    const auto bytes = endpoint.address().to_v6().to_bytes();
    std::memcpy(&end.address, bytes.data(), bytes.size());
  } else {
    const auto bytes = endpoint.address().to_v4().to_bytes();
    std::memcpy(&end.address, bytes.data(), bytes.size());
  }
  return end;
}

}  // namespace

base::Status AdmitOwnUser(const Endpoint& peer, const Endpoint& local) {
  if (!peer.address().is_loopback()) {
    return Fail(ErrorCode::kDenied, "it is not on this machine");
  }
  const auto owner = TRY(base::FindTcpSocket(EndOf(peer), EndOf(local)));
  if (!owner || owner->inode == 0 || !owner->established) {
    return Fail(ErrorCode::kDenied, "whose it is cannot be told: it has closed already");
  }
  if (owner->uid == ::getuid()) return {};
  return Fail(ErrorCode::kDenied,
              "it belongs to user {}, and a server with --dev serves its own user only "
              "(--dev-any-user: everybody on this machine)",
              owner->uid);
}

base::Status CheckPeersAreKnown() {
  const Endpoint nobody(boost::asio::ip::address_v4::loopback(), 1);
  const auto asked = base::FindTcpSocket(EndOf(nobody), EndOf(nobody));
  if (asked) return {};
  return Fail(ErrorCode::kUnsupported,
              "this host does not tell whose connections are ({}): start the server without "
              "--dev, with keys, or with --dev-any-user, which lets every user of this machine in",
              asked.error().message());
}

}  // namespace msb::server::http
