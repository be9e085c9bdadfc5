#include "src/agent/guest/transfer_process.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>

#include "src/agent/guest/child_process.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr size_t kGather = 64 * 1024;
constexpr size_t kLargePiece = 16 * 1024;  // sent as it is

base::Status Become(const Identity& identity) {
  if (identity.uid == 0 && identity.gid == 0) return {};
  if (::setgroups(identity.groups.size(), identity.groups.data()) < 0 ||
      ::setresgid(identity.gid, identity.gid, identity.gid) < 0 ||
      ::setresuid(identity.uid, identity.uid, identity.uid) < 0) {
    return base::FailErrno("cannot become user {}", identity.uid);
  }
  return {};
}

Outcome<void> BecomeUser(const base::Bytes& user, const UserLookup& lookup) {
  if (user.empty()) return {};
  const auto identity = lookup(user.data);
  if (!identity) return Refuse(FailureCode::kNoSuchUser, identity.error());
  if (const base::Status became = Become(*identity); !became) {
    return std::unexpected(FileFailure(became.error()));
  }
  return {};
}

}  // namespace

base::Status TransferChannel::Flush() {
  while (!queue_.empty()) {
    TRY(base::WriteFull(socket_fd_, queue_.front()));
    queue_.Sent(queue_.size());
  }
  if (gathered_.empty()) return {};
  TRY(SendPiece(gathered_));
  gathered_.clear();
  return {};
}

base::Status TransferChannel::Send(FrameType type, unsigned stream, std::string_view payload) {
  TRY(Flush());
  queue_.Append(type, stream, payload);
  return Flush();
}

base::Status TransferChannel::SendCredit(uint32_t bytes) {
  queue_.AppendCredit(kStdin, bytes);
  return Flush();
}

base::Status TransferChannel::SendData(std::string_view data) {
  if (data.size() >= kLargePiece) {
    TRY(Flush());
    while (!data.empty()) {
      const std::string_view piece = data.substr(0, kMaxPayload);
      TRY(SendPiece(piece));
      data.remove_prefix(piece.size());
    }
    return {};
  }
  gathered_ += data;
  return gathered_.size() >= kGather ? Flush() : base::Status();
}

// One data frame, without copying what is in it.
base::Status TransferChannel::SendPiece(std::string_view piece) {
  FrameHeader header = MakeFrameHeader(FrameType::kData, kStdout, piece.size());
  std::array<iovec, 2> parts = {
      {{header.data(), header.size()}, {const_cast<char*>(piece.data()), piece.size()}}};
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(socket_fd_, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return base::FailErrno("cannot send");
  const size_t put = static_cast<size_t>(sent);
  if (put < header.size()) {
    TRY(base::WriteFull(socket_fd_, std::string_view(header.data() + put, header.size() - put)));
  }
  return base::WriteFull(socket_fd_, piece.substr(put - std::min(put, header.size())));
}

base::Result<size_t> TransferChannel::ReceiveMore() {
  const std::span<char> space = reader_.Space();
  const size_t got = TRY(base::Read(socket_fd_, std::as_writable_bytes(space)));
  reader_.Filled(got);
  return got;
}

base::Result<Frame> TransferChannel::Receive() {
  for (;;) {
    if (auto frame = TRY(reader_.Next())) return *frame;
    if (TRY(ReceiveMore()) == 0) return base::Fail(base::ErrorCode::kClosed, "the host is gone");
  }
}

void TransferChannel::AwaitHangUp() {
  std::array<std::byte, 4096> ignored;
  while (true) {
    const auto got = base::Read(socket_fd_, ignored);
    if (!got || *got == 0) return;
  }
}

base::Result<pid_t> StartTransferProcess(const HandedOver& connection, int cgroup_fd,
                                         const TransferWork& work) {
  const pid_t pid = ::fork();
  if (pid < 0) return base::FailErrno("cannot create a process");
  if (pid > 0) return pid;

  base::Status ready = EnterCgroup(cgroup_fd);
  CloseOthers(connection.socket_fd);
  ::umask(0);  // modes are the host's choice
  base::RaiseOpenFileLimit();
  if (ready) ready = base::SetNonBlocking(connection.socket_fd, false);
  TransferChannel channel(connection.socket_fd, connection.queue, connection.reader);
  if (auto begun = ready ? BecomeUser(connection.user, work.lookup)
                         : std::unexpected(FileFailure(ready.error()))) {
    work.work(channel);
  } else {
    work.refuse(channel, begun.error());
  }
  if (channel.Flush()) channel.AwaitHangUp();
  ::_exit(0);  // nothing of the parent's is to be destroyed or flushed
}

}  // namespace msb::agent
