// Attached: one connection's view of a process: how far each output has been sent, and the frame
// that is being sent. Data goes from the ring to the socket without a copy.
//
// Owned by its Session; the process must outlive it. One thread.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "src/agent/frame.h"
#include "src/agent/protocol.h"
#include "src/base/result.h"

namespace msb::agent {

class Process;

class Attached {
 public:
  // `wake`: there may be something to send. `queue`: the connection's frames.
  Attached(Process& process, FrameQueue& queue, bool input, std::function<void()> wake);
  ~Attached();
  Attached(const Attached&) = delete;

  Process& process() { return process_; }
  bool input() const { return input_; }
  // Where the data of a stream begins.
  void StartAt(unsigned stream, uint64_t offset);
  std::vector<StreamOffset> Offsets() const;

  // Sends what there is, queue and output, until the socket takes no more (true) or nothing is
  // left (false). kClosed: the host is gone.
  base::Result<bool> Pump(int socket_fd);
  bool exit_sent() const { return exit_sent_; }

  // --- called by the process
  void Wake() { wake_(); }
  void Grant(unsigned stream, uint32_t bytes);
  uint64_t Position(unsigned stream) const { return cursors_[stream].at; }
  // The ring is about to overwrite bytes before `offset`: what is promised of them is set aside.
  void SaveFrame(unsigned stream, uint64_t offset);

 private:
  // One frame is at most so long: the other streams and the replies wait for it.
  static constexpr size_t kMaxFrame = 256 * 1024;
  struct Cursor {
    uint64_t at = 0;
    bool end_sent = false;
  };

  bool InFlight() const { return !head_.empty() || left_ > 0; }
  base::Result<bool> SendInFlight(int socket_fd);  // true: the socket takes no more
  bool BeginFrame();                               // false: nothing to send
  bool BeginFrameOf(unsigned stream);

  Process& process_;
  FrameQueue& queue_;
  const bool input_;
  std::function<void()> wake_;
  std::array<Cursor, kMaxStreams> cursors_;
  // The frame in flight: bytes that are not in a ring (header), then `left_` from stream_'s ring.
  std::string head_;
  unsigned stream_ = 0;
  size_t left_ = 0;
  bool exit_sent_ = false;
};

}  // namespace msb::agent
