// Control: one kept stream to the agent for plain requests: configure, ping, wait, list, signal,
// stat, shutdown. Requests are pipelined; each is answered once, by its callback, in any order.
//
// Owned by its user; single thread, on its event loop. A callback may destroy it. When the stream
// ends, every request that is open gets kDisconnected (or kProtocol), then on_closed is called
// once; later requests are answered (from the event loop) with the same. At most kMaxOpenRequests
// are open: more are answered with kLimit. Deadlines are the caller's (a guest may never answer).
#pragma once

#include <expected>
#include <functional>
#include <memory>

#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

template <typename T>
using Answer = std::expected<T, Failure>;
template <typename T>
using OnAnswer = std::function<void(Answer<T>)>;

class Control {
 public:
  static constexpr size_t kMaxOpenRequests = 256;

  static base::Result<std::unique_ptr<Control>> Create(
      base::EventLoop& loop, base::UniqueFd stream, std::function<void(const Failure&)> on_closed);
  ~Control();
  Control(const Control&) = delete;

  void SendPing(OnAnswer<void> done);
  void SendConfigure(const Configure& configure, OnAnswer<Configured> done);
  void SendStart(const Start& start, OnAnswer<void> done);
  void SendSignal(const Signal& signal, OnAnswer<void> done);
  void SendResize(const Resize& resize, OnAnswer<void> done);
  void SendWait(const Wait& wait, OnAnswer<Exited> done);
  void SendListProcesses(OnAnswer<Processes> done);
  void SendStatFile(const StatFile& stat, OnAnswer<FileStatus> done);
  void SendMakeDirectory(const MakeDirectory& make, OnAnswer<void> done);
  void SendRemove(const Remove& remove, OnAnswer<void> done);
  void SendRename(const Rename& rename, OnAnswer<void> done);
  void SendChangeMode(const ChangeMode& change, OnAnswer<void> done);
  void SendMakeSymlink(const MakeSymlink& make, OnAnswer<void> done);
  // The target is the guest's: any bytes.
  void SendReadSymlink(const ReadSymlink& read, OnAnswer<base::Bytes> done);
  // The answer comes when the disks are safe, just before the machine powers off; a machine that
  // ends without it gives kDisconnected.
  void SendShutdown(const Shutdown& shutdown, OnAnswer<void> done);

 private:
  class Impl;
  explicit Control(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace msb::agent
