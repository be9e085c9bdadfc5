// SockDiag: whose a TCP socket of this machine is, as the kernel tells (sock_diag(7)). Any thread.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <optional>

#include "src/base/result.h"

namespace msb::base {

struct TcpEnd {
  sa_family_t family = AF_INET;  // or AF_INET6
  in6_addr address = {};         // the first four bytes for AF_INET
  uint16_t port = 0;
};

struct SocketOwner {
  uid_t uid = 0;
  uint32_t inode = 0;        // 0: no process has it any more, and then the uid means nothing
  bool established = false;  // else it is closing
};

// The socket at `local` that is connected to `remote`; absent if there is none in this network
// namespace. kSystem where the kernel does not tell.
Result<std::optional<SocketOwner>> FindTcpSocket(const TcpEnd& local, const TcpEnd& remote);

}  // namespace msb::base
