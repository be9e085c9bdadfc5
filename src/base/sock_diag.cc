#include "src/base/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "src/base/retry.h"
#include "src/base/unique_fd.h"

namespace msb::base {
namespace {

constexpr uint8_t kEstablished = 1;  // TCP_ESTABLISHED of the kernel

struct Query {
  nlmsghdr header = {};
  inet_diag_req_v2 request = {};
};

Query QueryOf(const TcpEnd& local, const TcpEnd& remote) {
  Query query;
  query.header.nlmsg_len = sizeof query;
  query.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  query.header.nlmsg_flags = NLM_F_REQUEST;
  query.request.sdiag_family = static_cast<uint8_t>(local.family);
  query.request.sdiag_protocol = IPPROTO_TCP;
  query.request.idiag_states = ~0u;
  inet_diag_sockid& id = query.request.id;
  id.idiag_sport = htons(local.port);
  id.idiag_dport = htons(remote.port);
  std::memcpy(id.idiag_src, &local.address, sizeof local.address);
  std::memcpy(id.idiag_dst, &remote.address, sizeof remote.address);
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return query;
}

Result<std::optional<SocketOwner>> ParseReply(const char* reply, size_t size) {
  nlmsghdr header;
  if (size < sizeof header) return Fail(ErrorCode::kSystem, "sock_diag: the reply is cut off");
  std::memcpy(&header, reply, sizeof header);
  if (header.nlmsg_type == NLMSG_ERROR) {
    nlmsgerr failure;
    if (size < NLMSG_HDRLEN + sizeof failure) {
      return Fail(ErrorCode::kSystem, "sock_diag: the reply is cut off");
    }
    std::memcpy(&failure, reply + NLMSG_HDRLEN, sizeof failure);
    // The kernel knows no such socket.
    if (failure.error == -ENOENT) return std::optional<SocketOwner>();
    return Error(ErrorCode::kSystem, "sock_diag: " + ErrnoText(-failure.error), -failure.error);
  }
  inet_diag_msg message;
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || size < NLMSG_HDRLEN + sizeof message) {
    return Fail(ErrorCode::kSystem, "sock_diag: the reply is not understood");
  }
  std::memcpy(&message, reply + NLMSG_HDRLEN, sizeof message);
  return SocketOwner{.uid = message.idiag_uid,
                     .inode = message.idiag_inode,
                     .established = message.idiag_state == kEstablished};
}

}  // namespace

Result<std::optional<SocketOwner>> FindTcpSocket(const TcpEnd& local, const TcpEnd& remote) {
  const UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) return FailErrno("cannot open a sock_diag socket");
  const Query query = QueryOf(local, remote);
  if (Retry([&] { return ::send(fd.get(), &query, sizeof query, 0); }) < 0) {
    return FailErrno("cannot ask sock_diag");
  }
  // The kernel has answered by now: netlink requests are handled in the sender's context.
  std::array<char, 4096> reply;
  const ssize_t size =
      Retry([&] { return ::recv(fd.get(), reply.data(), reply.size(), MSG_DONTWAIT); });
  if (size < 0) return FailErrno("sock_diag does not answer");
  return ParseReply(reply.data(), static_cast<size_t>(size));
}

}  // namespace msb::base
