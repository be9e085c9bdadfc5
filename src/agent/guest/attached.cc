#include "src/agent/guest/attached.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "src/agent/guest/process.h"
#include "src/base/json.h"

namespace msb::agent {

Attached::Attached(Process& process, FrameQueue& queue, bool input, std::function<void()> wake)
    : process_(process), queue_(queue), input_(input), wake_(std::move(wake)) {
  for (unsigned stream = 0; stream < kMaxStreams; ++stream) {
    if (const OutputRing* ring = process.Ring(stream)) cursors_[stream].at = ring->begin();
  }
  process_.Attach(this, input);
}

Attached::~Attached() { process_.Detach(this); }

void Attached::StartAt(unsigned stream, uint64_t offset) {
  const OutputRing* ring = stream < kMaxStreams ? process_.Ring(stream) : nullptr;
  // What is kept no more is reported as dropped; what has not been written yet is waited for.
  if (ring != nullptr) cursors_[stream].at = std::min(offset, ring->end());
}

std::vector<StreamOffset> Attached::Offsets() const {
  std::vector<StreamOffset> offsets;
  for (unsigned stream = 0; stream < kMaxStreams; ++stream) {
    if (process_.Ring(stream) != nullptr) offsets.push_back({stream, cursors_[stream].at});
  }
  return offsets;
}

void Attached::Grant(unsigned stream, uint32_t bytes) {
  queue_.AppendCredit(stream, bytes);
  wake_();
}

void Attached::SaveFrame(unsigned stream, uint64_t offset) {
  if (left_ == 0 || stream_ != stream || cursors_[stream].at >= offset) return;
  const OutputRing& ring = *process_.Ring(stream);
  while (left_ > 0) {
    const std::string_view piece = ring.From(cursors_[stream].at).substr(0, left_);
    head_.append(piece);
    cursors_[stream].at += piece.size();
    left_ -= piece.size();
  }
}

base::Result<bool> Attached::Pump(int socket_fd) {
  for (;;) {
    if (InFlight()) {
      if (TRY(SendInFlight(socket_fd))) return true;
      continue;
    }
    TRY(queue_.Flush(socket_fd));
    if (!queue_.empty()) return true;
    if (!BeginFrame()) return false;
  }
}

base::Result<bool> Attached::SendInFlight(int socket_fd) {
  std::array<iovec, 3> parts = {};
  size_t count = 0;
  if (!head_.empty()) parts[count++] = {head_.data(), head_.size()};
  size_t planned = 0;
  while (planned < left_ && count < parts.size()) {
    const std::string_view piece =
        process_.Ring(stream_)->From(cursors_[stream_].at + planned).substr(0, left_ - planned);
    parts[count++] = {const_cast<char*>(piece.data()), piece.size()};
    planned += piece.size();
  }
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  const ssize_t sent = ::sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (errno == EINTR) return false;
    if (errno == EAGAIN) return true;
    return base::FailErrno("cannot send");
  }
  const size_t from_head = std::min(static_cast<size_t>(sent), head_.size());
  head_.erase(0, from_head);
  const size_t from_ring = static_cast<size_t>(sent) - from_head;
  cursors_[stream_].at += from_ring;
  left_ -= from_ring;
  return false;
}

bool Attached::BeginFrame() {
  // Round robin, from the stream after the last: none starves.
  for (unsigned i = 1; i <= kMaxStreams; ++i) {
    if (BeginFrameOf((stream_ + i) % kMaxStreams)) return true;
  }
  if (!queue_.empty()) return true;
  if (!process_.finished() || exit_sent_) return false;
  exit_sent_ = true;
  Event event;
  event.exited = process_.exited();
  queue_.Append(FrameType::kEvent, 0, base::json::Write(event));
  return true;
}

// True if it has put something in flight; an end or a gap goes into the queue.
bool Attached::BeginFrameOf(unsigned stream) {
  const OutputRing* ring = process_.Ring(stream);
  Cursor& cursor = cursors_[stream];
  if (ring == nullptr || cursor.end_sent) return false;
  if (cursor.at < ring->begin()) {
    Event event;
    event.dropped = Dropped{stream, ring->begin() - cursor.at};
    cursor.at = ring->begin();
    queue_.Append(FrameType::kEvent, 0, base::json::Write(event));
    return true;  // before the data that follows the gap
  }
  const uint64_t available = ring->end() - cursor.at;
  if (available > 0) {
    left_ = static_cast<size_t>(std::min<uint64_t>(available, kMaxFrame));
    stream_ = stream;
    const FrameHeader header = MakeFrameHeader(FrameType::kData, stream, left_);
    head_.assign(header.data(), header.size());
    return true;
  }
  if (process_.Ended(stream)) {
    cursor.end_sent = true;
    queue_.Append(FrameType::kEnd, stream, {});
  }
  return false;
}

}  // namespace msb::agent
