// Frames on a byte stream (protocol.h, "frames"): taking them out of it and putting them into it.
//
// Both ends use these, each on input it does not trust. Memory is bounded: data frames are passed
// on piece by piece as they arrive, only JSON frames are gathered, up to the limit given. Value
// types without locking; one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "src/agent/protocol.h"
#include "src/base/result.h"

namespace msb::agent {

struct Frame {
  FrameType type = FrameType::kHello;
  unsigned stream = 0;       // of kData, kEnd, kCredit
  uint32_t credit = 0;       // of kCredit
  std::string_view payload;  // of JSON frames: all of it; of kData: a piece, never empty
};

class FrameReader {
 public:
  // `buffer_bytes`: how much is read at once. `max_json`: the longest JSON payload accepted.
  FrameReader(size_t buffer_bytes, size_t max_json);

  // Where the next bytes go: at least one byte. Ends the life of the last frame's payload.
  std::span<char> Space();
  void Filled(size_t bytes);
  // The next frame or piece, none if more bytes are needed. kProtocol: the stream is beyond repair
  // (and the error comes again).
  base::Result<std::optional<Frame>> Next();
  // True if more pieces of the last frame follow.
  bool InFrame() const { return data_left_ > 0; }
  // True if the stream may end here.
  bool AtBoundary() const { return data_left_ == 0 && begin_ == end_; }

 private:
  base::Result<std::optional<Frame>> NextHeader();
  std::optional<Frame> NextPiece();
  std::optional<Frame> NextWhole(FrameType type, size_t length);
  void Grow(size_t bytes);

  size_t normal_bytes_;
  size_t max_json_;
  size_t capacity_ = 0;
  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  unsigned data_stream_ = 0;
  size_t data_left_ = 0;  // of the data frame that is being passed on
};

using FrameHeader = std::array<char, kFrameHeaderBytes>;
FrameHeader MakeFrameHeader(FrameType type, unsigned stream, size_t length);

// Frames that wait for the socket to take them. The owner bounds it.
class FrameQueue {
 public:
  void Append(FrameType type, unsigned stream, std::string_view payload);
  void AppendCredit(unsigned stream, uint32_t bytes);
  void AppendRaw(std::string_view bytes) { pending_.append(bytes); }
  size_t size() const { return pending_.size() - sent_; }
  bool empty() const { return size() == 0; }
  std::string_view front() const { return std::string_view(pending_).substr(sent_); }
  void Sent(size_t bytes);
  // Sends what the non-blocking socket takes. kClosed if the other side is gone.
  base::Status Flush(int socket_fd);

 private:
  std::string pending_;
  size_t sent_ = 0;
};

}  // namespace msb::agent
