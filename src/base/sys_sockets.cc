// Sockets and pipes. See sys.h.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "src/base/retry.h"
#include "src/base/sys.h"

namespace msb::base {
namespace {

Result<sockaddr_un> UnixAddress(int dir_fd, const std::string& name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path =
      dir_fd == AT_FDCWD ? name : fmt::format("/proc/self/fd/{}/{}", dir_fd, name);
  if (path.size() >= sizeof address.sun_path) {
    return Fail(ErrorCode::kLimit, "socket path too long: {}", path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

int TypeOf(SocketType type) {
  switch (type) {
    case SocketType::kStream:
      return SOCK_STREAM;
    case SocketType::kSeqPacket:
      return SOCK_SEQPACKET;
    case SocketType::kDatagram:
      return SOCK_DGRAM;
  }
  return SOCK_STREAM;
}

}  // namespace

Result<Pair> MakeSocketPair(SocketType type, bool nonblocking) {
  int fds[2];
  if (::socketpair(AF_UNIX, TypeOf(type) | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0,
                   fds) < 0) {
    return FailErrno("cannot create a socket pair");
  }
  return Pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<Pair> MakePipe(bool nonblocking) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | (nonblocking ? O_NONBLOCK : 0)) < 0) {
    return FailErrno("cannot create a pipe");
  }
  return Pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> ListenUnixAt(int dir_fd, const std::string& name, SocketType type, mode_t mode) {
  const sockaddr_un address = TRY(UnixAddress(dir_fd, name));
  UniqueFd fd(::socket(AF_UNIX, TypeOf(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno("cannot create a socket");
  // fchmod before bind sets the mode of the name atomically.
  if (::fchmod(fd.get(), mode) < 0) return FailErrno("cannot set a socket's mode");
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return FailErrno("cannot bind socket {}", name);
  }
  if (type != SocketType::kDatagram && ::listen(fd.get(), 64) < 0) {
    return FailErrno("cannot listen on {}", name);
  }
  return fd;
}

Result<UniqueFd> ConnectUnixAt(int dir_fd, const std::string& name, SocketType type) {
  const sockaddr_un address = TRY(UnixAddress(dir_fd, name));
  UniqueFd fd(::socket(AF_UNIX, TypeOf(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno("cannot create a socket");
  if (Retry([&] {
        return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
      }) < 0) {
    return FailErrno("cannot connect to {}", name);
  }
  return fd;
}

Result<PeerCredentials> GetPeerCredentials(int socket_fd) {
  ucred credentials = {};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) {
    return FailErrno("cannot identify a peer");
  }
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<size_t> SendWithFds(int socket_fd, std::span<const std::byte> data,
                           std::span<const int> fds) {
  CHECK(fds.size() <= kMaxFdsPerMessage);
  iovec part = {const_cast<std::byte*>(data.data()), data.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  const ssize_t sent = Retry([&] { return ::sendmsg(socket_fd, &message, MSG_NOSIGNAL); });
  if (sent < 0) return FailErrno("cannot send");
  return static_cast<size_t>(sent);
}

Result<Received> ReceiveWithFds(int socket_fd, std::span<std::byte> buffer, bool nonblocking) {
  iovec part = {buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))> control;
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = Retry([&] {
    return ::recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | (nonblocking ? MSG_DONTWAIT : 0));
  });
  if (got < 0) return FailErrno("cannot receive");
  Received received;
  received.size = static_cast<size_t>(got);
  received.truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  return received;
}

Status SetNonBlocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0) {
    return FailErrno("cannot change a descriptor's mode");
  }
  return {};
}

Status SetCloseOnExec(int fd, bool on) {
  if (::fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0) {
    return FailErrno("cannot change a descriptor's flags");
  }
  return {};
}

}  // namespace msb::base
