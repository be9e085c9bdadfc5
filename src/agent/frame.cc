#include "src/agent/frame.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace msb::agent {
namespace {

uint32_t ReadLittle(const char* bytes) {
  uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  return value;
}

void WriteLittle(uint32_t value, char* bytes) {
  for (unsigned i = 0; i < 4; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
}

bool IsJson(FrameType type) { return type >= FrameType::kHello && type <= FrameType::kEvent; }

// kData + stream and kEnd + stream share the byte with their stream.
std::optional<unsigned> StreamOf(uint8_t byte, FrameType base) {
  const auto first = static_cast<uint8_t>(base);
  if (byte < first || byte >= first + kMaxStreams) return std::nullopt;
  return byte - first;
}

}  // namespace

FrameReader::FrameReader(size_t buffer_bytes, size_t max_json)
    : normal_bytes_(buffer_bytes), max_json_(std::min(max_json, kMaxPayload)) {
  CHECK(buffer_bytes >= 64);
}

void FrameReader::Grow(size_t bytes) {
  auto larger = std::make_unique_for_overwrite<char[]>(bytes);
  if (end_ > begin_) std::memcpy(larger.get(), buffer_.get() + begin_, end_ - begin_);
  buffer_ = std::move(larger);
  capacity_ = bytes;
  end_ -= begin_;
  begin_ = 0;
}

std::span<char> FrameReader::Space() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == 0 && capacity_ != normal_bytes_) {
    Grow(normal_bytes_);  // the first time, or after a long JSON frame
  } else if (capacity_ - end_ < capacity_ / 4 && begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == capacity_) {
    // Only a JSON frame is ever gathered, and NextHeader has bounded its length.
    Grow(std::min(capacity_ * 4, std::max(kFrameHeaderBytes + max_json_, capacity_ + 64)));
  }
  return {buffer_.get() + end_, capacity_ - end_};
}

void FrameReader::Filled(size_t bytes) {
  CHECK(bytes <= capacity_ - end_);
  end_ += bytes;
}

base::Result<std::optional<Frame>> FrameReader::Next() {
  if (data_left_ > 0) return NextPiece();
  return NextHeader();
}

std::optional<Frame> FrameReader::NextPiece() {
  const size_t length = std::min(data_left_, end_ - begin_);
  if (length == 0) return std::nullopt;
  const Frame frame{.type = FrameType::kData,
                    .stream = data_stream_,
                    .payload = {buffer_.get() + begin_, length}};
  begin_ += length;
  data_left_ -= length;
  return frame;
}

base::Result<std::optional<Frame>> FrameReader::NextHeader() {
  if (end_ - begin_ < kFrameHeaderBytes) return std::optional<Frame>();
  const char* header = buffer_.get() + begin_;
  const size_t length = ReadLittle(header);
  const auto byte = static_cast<uint8_t>(header[4]);
  if (const auto stream = StreamOf(byte, FrameType::kData)) {
    if (length == 0 || length > kMaxPayload) {
      return base::Fail(base::ErrorCode::kProtocol, "data frame of {} bytes", length);
    }
    begin_ += kFrameHeaderBytes;
    data_stream_ = *stream;
    data_left_ = length;
    return NextPiece();
  }
  if (const auto stream = StreamOf(byte, FrameType::kEnd)) {
    if (length != 0) return base::Fail(base::ErrorCode::kProtocol, "end frame with a payload");
    begin_ += kFrameHeaderBytes;
    return std::optional(Frame{.type = FrameType::kEnd, .stream = *stream, .payload = {}});
  }
  const auto type = static_cast<FrameType>(byte);
  if (type == FrameType::kCredit) {
    if (length != kCreditBytes) return base::Fail(base::ErrorCode::kProtocol, "bad credit frame");
  } else if (!IsJson(type)) {
    return base::Fail(base::ErrorCode::kProtocol, "unknown frame type {}", byte);
  } else if (length > max_json_) {
    return base::Fail(base::ErrorCode::kProtocol, "frame of {} bytes; the limit is {}", length,
                      max_json_);
  }
  std::optional<Frame> frame = NextWhole(type, length);
  if (frame && frame->type == FrameType::kCredit && frame->stream >= kMaxStreams) {
    return base::Fail(base::ErrorCode::kProtocol, "credit for stream {}", frame->stream);
  }
  return frame;
}

std::optional<Frame> FrameReader::NextWhole(FrameType type, size_t length) {
  if (end_ - begin_ - kFrameHeaderBytes < length) return std::nullopt;
  Frame frame{.type = type, .payload = {buffer_.get() + begin_ + kFrameHeaderBytes, length}};
  if (type == FrameType::kCredit) {
    frame.stream = static_cast<uint8_t>(frame.payload[0]);
    frame.credit = ReadLittle(frame.payload.data() + 1);
  }
  begin_ += kFrameHeaderBytes + length;
  return frame;
}

FrameHeader MakeFrameHeader(FrameType type, unsigned stream, size_t length) {
  CHECK(length <= kMaxPayload && stream < kMaxStreams);
  FrameHeader header;
  WriteLittle(static_cast<uint32_t>(length), header.data());
  header[4] = static_cast<char>(static_cast<unsigned>(type) + stream);
  return header;
}

void FrameQueue::Append(FrameType type, unsigned stream, std::string_view payload) {
  const FrameHeader header = MakeFrameHeader(type, stream, payload.size());
  pending_.append(header.data(), header.size());
  pending_.append(payload);
}

void FrameQueue::AppendCredit(unsigned stream, uint32_t bytes) {
  std::array<char, kCreditBytes> payload;
  payload[0] = static_cast<char>(stream);
  WriteLittle(bytes, payload.data() + 1);
  Append(FrameType::kCredit, 0, {payload.data(), payload.size()});
}

void FrameQueue::Sent(size_t bytes) {
  CHECK(bytes <= size());
  sent_ += bytes;
  if (sent_ == pending_.size()) {
    // A long queue gives its memory back; a short one is used again.
    if (pending_.capacity() > 64 * 1024) std::string().swap(pending_);
    pending_.clear();
    sent_ = 0;
  } else if (sent_ >= 256 * 1024) {
    pending_.erase(0, sent_);
    sent_ = 0;
  }
}

base::Status FrameQueue::Flush(int socket_fd) {
  while (!empty()) {
    const std::string_view bytes = front();
    const ssize_t put = ::send(socket_fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return {};
      return base::FailErrno("cannot send");
    }
    Sent(static_cast<size_t>(put));
  }
  return {};
}

}  // namespace msb::agent
