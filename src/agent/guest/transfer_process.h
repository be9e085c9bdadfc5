// A connection handed to a child process: what may take long, needs memory, or parses a foreign tar
// does not do it in PID 1.
//
// The child takes over the socket with what was read ahead and what was not sent yet, becomes the
// user, and goes on in blocking calls; it belongs to the workload's cgroup, so its memory is the
// workload's and the end of the workload is its end. The parent closes its own copy and reaps. One
// thread on both sides.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

#include "src/agent/frame.h"
#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/protocol.h"
#include "src/base/result.h"

namespace msb::agent {

// The connection, in the child. Errors are those of the socket: nobody is left to tell.
class TransferChannel {
 public:
  TransferChannel(int socket_fd, FrameQueue& queue, FrameReader& reader)
      : socket_fd_(socket_fd), queue_(queue), reader_(reader) {}

  base::Status Send(FrameType type, unsigned stream, std::string_view payload);
  base::Status SendCredit(uint32_t bytes);  // of stream 0
  // Data on stream 1; short pieces are gathered until Flush or any other frame.
  base::Status SendData(std::string_view data);
  base::Status Flush();
  // Blocks. A payload is valid until the next call.
  base::Result<Frame> Receive();
  // Until the host has closed its end: what was sent has arrived then.
  void AwaitHangUp();

 private:
  base::Status SendPiece(std::string_view piece);
  base::Result<size_t> ReceiveMore();

  int socket_fd_;
  FrameQueue& queue_;
  FrameReader& reader_;
  std::string gathered_;
};

struct HandedOver {
  int socket_fd;        // borrowed, as is all of it: the child has copies
  FrameQueue& queue;    // what was to be sent
  FrameReader& reader;  // what has been read
  const base::Bytes& user;
};

// All in the child: `work`, after which it waits for the hang-up and ends; `refuse` instead, if it
// cannot become the user.
struct TransferWork {
  UserLookup lookup;
  std::function<void(TransferChannel&)> work;
  std::function<void(TransferChannel&, const Failure&)> refuse;
};

// Returns in the parent, with the child's pid. `cgroup_fd`: -1, or where the child belongs.
base::Result<pid_t> StartTransferProcess(const HandedOver& connection, int cgroup_fd,
                                         const TransferWork& work);

}  // namespace msb::agent
