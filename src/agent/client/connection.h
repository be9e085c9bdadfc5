// Connection: what attachment, control and transfer have in common: handshake, frames, the socket.
//
// Held by a shared_ptr so that a callback may let go of it; Close ends it at once. One thread, on
// its event loop. The guest is hostile: a broken frame, one that is not legal now, or a peer that
// does not read what it is sent ends the connection with OnFailed; OnFailed is called at most once
// and nothing follows. Nothing is called from within a member function.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "src/agent/frame.h"
#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

Failure MakeFailure(FailureCode code, std::string_view message);

// The guest said something that is not legal.
template <typename... Args>
base::Error Violation(fmt::format_string<Args...> format, Args&&... args) {
  return base::Fail(base::ErrorCode::kProtocol, format, std::forward<Args>(args)...);
}

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  virtual ~Connection() = default;
  Connection(const Connection&) = delete;

  // Takes the stream and sends Hello with what is sent next.
  base::Status Open(base::UniqueFd stream);
  void Close();  // no call of the handlers below any more
  bool closed() const { return closed_; }

  uint32_t SendRequest(Request request);  // returns the seq it was given
  void SendData(unsigned stream, std::string_view data);
  void SendEnd(unsigned stream);

  void Pause();
  void Resume();

 protected:
  explicit Connection(base::EventLoop& loop) : loop_(loop) {}
  // An Error is the guest's fault and ends the connection.
  virtual base::Status OnReply(const Reply& reply) = 0;
  virtual base::Status OnEvent(const Event& event) = 0;
  virtual base::Status OnData(unsigned stream, std::string_view data) = 0;
  virtual base::Status OnEnd(unsigned stream) = 0;
  virtual base::Status OnCredit(unsigned stream, uint32_t bytes) = 0;
  virtual void OnFailed(const Failure& failure) = 0;

  // From the event loop, unless closed by then.
  void FailLater(Failure failure);

 private:
  static constexpr size_t kBufferBytes = 128 * 1024;
  // Requests and granted data of one stream never come near this; a guest that does not read does.
  static constexpr size_t kMaxQueue = 4 * 1024 * 1024;

  base::Status Watch();
  void UpdateWatch();
  void HandleEvents(uint32_t events);
  void HandleInput();
  void Dispatch();  // frames that have arrived
  base::Status HandleFrame(const Frame& frame);
  base::Status HandleHello(std::string_view text);
  void ScheduleFlush();
  void Flush();
  void End(const Failure& failure);

  base::EventLoop& loop_;
  base::UniqueFd stream_;
  base::Watch watch_;
  FrameReader reader_{kBufferBytes, kMaxReply};
  FrameQueue queue_;
  uint32_t next_seq_ = 1;
  bool greeted_ = false;
  bool paused_ = false;
  bool dispatching_ = false;
  bool flush_scheduled_ = false;
  bool blocked_ = false;  // the socket takes nothing now
  bool closed_ = false;
};

}  // namespace msb::agent
