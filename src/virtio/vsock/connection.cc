#include "src/virtio/vsock/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace msb::virtio::vsock {

using base::ErrorCode;
using base::Fail;
using base::Result;
using base::Status;

Connection::Connection(Ports ports, uint32_t id, base::UniqueFd host)
    : ports_(ports), id_(id), host_(std::move(host)) {}

Status Connection::OnPacket(const GuestMemory& memory, const Header& header,
                            const GuestSlice& payload) {
  peer_buf_alloc_ = header.buf_alloc;
  peer_fwd_cnt_ = header.fwd_cnt;
  asked_for_credit_ = false;
  const Op op{header.op};
  if (state_ == State::kConnecting) {
    if (op == Op::kResponse) {
      state_ = State::kOpen;
      was_open_ = true;
      host_readable_ = true;  // find out by reading
      Settle();               // the host may be gone already
    } else if (op == Op::kReset) {
      state_ = State::kDead;
    } else {
      Abort();
    }
    return {};
  }
  if (state_ == State::kOpen) return OnOpenPacket(memory, header, payload);
  return {};
}

Status Connection::OnOpenPacket(const GuestMemory& memory, const Header& header,
                                const GuestSlice& payload) {
  switch (Op{header.op}) {
    case Op::kData:
      return OnData(memory, header, payload);
    case Op::kCreditUpdate:
      return {};
    case Op::kCreditRequest:
      owed_ |= kOweCreditUpdate;
      return {};
    case Op::kShutdown:
      guest_deaf_ = guest_deaf_ || (header.flags & kShutdownReceive) != 0;
      guest_ended_ = guest_ended_ || (header.flags & kShutdownSend) != 0;
      Settle();
      return {};
    case Op::kReset:
      guest_deaf_ = guest_ended_ = true;
      owed_ = 0;
      state_ = State::kDraining;
      Settle();
      return {};
    case Op::kInvalid:
    case Op::kRequest:
    case Op::kResponse:
      break;
  }
  Abort();
  return {};
}

Status Connection::OnData(const GuestMemory& memory, const Header& header,
                          const GuestSlice& payload) {
  const uint32_t length = header.length;
  if (guest_ended_ || length > kMaxPayload || length > payload.length || length > backlog_.room()) {
    Abort();
    return {};
  }
  const GuestSlice data = payload.Sub(0, length);
  const uint32_t sent = TRY(SendNow(memory, data));
  if (host_gone_) {
    // Nobody will read it: the guest was told, or is about to be.
    forwarded_ += length;
  } else {
    forwarded_ += sent;
    if (!backlog_.Append(memory, data.Sub(sent))) {
      return Fail(ErrorCode::kInvalid, "the guest broke its memory");
    }
  }
  OweCreditIfDue();
  return {};
}

// Straight from guest memory, if nothing waits before it.
Result<uint32_t> Connection::SendNow(const GuestMemory& memory, const GuestSlice& data) {
  if (host_gone_ || !host_writable_ || !backlog_.empty() || data.length == 0) return 0u;
  const Result<size_t> sent = memory.Send(host_.get(), data);
  if (sent) {
    if (*sent < data.length) SetWritable(false);
    return static_cast<uint32_t>(*sent);
  }
  if (sent.error().sys_errno() == EFAULT) return sent.error();
  if (sent.error().code() == ErrorCode::kBusy) {
    SetWritable(false);
  } else {
    HostGone();
  }
  return 0u;
}

void Connection::OnHostEvents(uint32_t events) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) host_readable_ = true;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    HostGone();
  } else if ((events & EPOLLOUT) != 0) {
    DrainBacklog();
  }
}

void Connection::SetWritable(bool writable) {
  host_writable_ = writable;
  if (watch_.active()) watch_.SetEvents(writable ? kHostEvents : kHostEvents | EPOLLOUT);
}

void Connection::DrainBacklog() {
  if (backlog_.empty()) return SetWritable(true);
  const Result<uint32_t> sent = backlog_.SendTo(host_.get());
  if (!sent) {
    HostGone();
    return;
  }
  forwarded_ += *sent;
  SetWritable(backlog_.empty());
  OweCreditIfDue();
  Settle();
}

void Connection::HostGone() {
  if (std::exchange(host_gone_, true)) return;
  forwarded_ += backlog_.size();
  backlog_.Clear();
  Settle();
}

void Connection::OnHostEnd() {
  host_readable_ = false;
  host_ended_ = true;
  Settle();
}

void Connection::OnHostError() {
  host_readable_ = false;
  host_ended_ = true;
  HostGone();
  Settle();
}

// What follows from the ends that have been reached, each way.
void Connection::Settle() {
  if (state_ != State::kOpen && state_ != State::kDraining) return;
  if (guest_deaf_) {
    host_readable_ = false;
    if (!std::exchange(told_host_deaf_, true)) ::shutdown(host_.get(), SHUT_RD);
  }
  if (!backlog_.empty()) return;
  if (guest_ended_ && !std::exchange(told_host_end_, true)) ::shutdown(host_.get(), SHUT_WR);
  if (guest_ended_ && guest_deaf_) {
    if (state_ == State::kDraining) {
      state_ = State::kDead;
    } else {
      Abort();  // the answer that completes the guest's close
    }
    return;
  }
  const uint32_t flags = (host_ended_ ? kShutdownSend : 0u) | (host_gone_ ? kShutdownReceive : 0u);
  if ((flags & ~told_shutdown_) != 0 && state_ == State::kOpen) owed_ |= kOweShutdown;
}

void Connection::Abort() {
  if (state_ == State::kDead) return;
  state_ = State::kResetting;
  owed_ = kOweReset;
  backlog_.Clear();
  watch_.Reset();
  host_.Reset();
}

// A Linux guest sends at most min(our buffer, its own) ahead, so the update must come well before
// that much has been forwarded, or both sides wait.
void Connection::OweCreditIfDue() {
  const uint32_t window = std::min(peer_buf_alloc_, kBufferBytes);
  const uint32_t untold = forwarded_ - forwarded_told_;
  if (untold > 0 && untold >= window / 4) owed_ |= kOweCreditUpdate;
}

uint32_t Connection::PeerCredit() const {
  const uint32_t in_flight = sent_ - peer_fwd_cnt_;
  return in_flight < peer_buf_alloc_ ? peer_buf_alloc_ - in_flight : 0;
}

uint32_t Connection::DataCredit() const {
  if (state_ != State::kOpen || !host_readable_ || host_ended_ || guest_deaf_) return 0;
  return PeerCredit();
}

std::optional<Header> Connection::TakeControl() {
  const auto take = [this](Owed owed) {
    const bool due = (owed_ & owed) != 0;
    owed_ &= static_cast<uint8_t>(~owed);
    return due;
  };
  if (take(kOweRequest)) return MakeHeader(Op::kRequest, 0, 0);
  if (take(kOweCreditUpdate)) return MakeHeader(Op::kCreditUpdate, 0, 0);
  if (take(kOweCreditRequest)) return MakeHeader(Op::kCreditRequest, 0, 0);
  if (take(kOweShutdown)) {
    told_shutdown_ |= (host_ended_ ? kShutdownSend : 0u) | (host_gone_ ? kShutdownReceive : 0u);
    return MakeHeader(Op::kShutdown, 0, told_shutdown_);
  }
  if (take(kOweReset)) {
    state_ = State::kDead;
    return MakeHeader(Op::kReset, 0, 0);
  }
  return std::nullopt;
}

Header Connection::DataHeader(uint32_t length) {
  sent_ += length;
  if (PeerCredit() == 0 && !std::exchange(asked_for_credit_, true)) owed_ |= kOweCreditRequest;
  return MakeHeader(Op::kData, length, 0);
}

Header Connection::MakeHeader(Op op, uint32_t length, uint32_t flags) {
  forwarded_told_ = forwarded_;
  return {.src_cid = kHostCid,
          .dst_cid = 0,  // the device knows its guest
          .src_port = ports_.host,
          .dst_port = ports_.guest,
          .length = length,
          .type = kTypeStream,
          .op = static_cast<uint16_t>(op),
          .flags = flags,
          .buf_alloc = kBufferBytes,
          .fwd_cnt = forwarded_};
}

}  // namespace msb::virtio::vsock
