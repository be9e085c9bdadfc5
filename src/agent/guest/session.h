// Session: one connection of the host: its frames in and out, and what it is used for: plain
// requests, one attachment, or one transfer. A tree's transfer takes the connection away from it.
//
// Owned by the Server, which destroys it after the event in which closed() became true. Input is
// bounded by the frame limit and by credit; replies by stopping to read requests while the host
// does not read them. A broken frame is answered with a Failure and ends the connection. One
// thread.
#pragma once

#include <memory>
#include <string_view>

#include "src/agent/frame.h"
#include "src/agent/guest/attached.h"
#include "src/agent/guest/failure.h"
#include "src/agent/guest/file_watch.h"
#include "src/agent/guest/files.h"
#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class Server;

class Session {
 public:
  Session(Server& server, uint64_t number, base::UniqueFd socket);
  ~Session();
  Session(const Session&) = delete;

  base::Status Open(base::EventLoop& loop);
  uint64_t number() const { return number_; }
  bool closed() const { return closed_; }

  // Sends what there is; called by the server once at the end of a batch of events.
  void Flush();
  // The root has been built, or has failed to be: requests that waited for it go on.
  void Resume();
  void Answer(Reply reply);

  bool flush_scheduled = false;  // the server's mark

 private:
  // Replies beyond this stop the reading of requests until the host has read some.
  static constexpr size_t kMaxQueued = 512 * 1024;
  static constexpr size_t kBufferBytes = 64 * 1024;

  void OnEvents(uint32_t events);
  void ReadFrames();
  bool Dispatch();  // false: no more can be handled now
  base::Status HandleFrame(const Frame& frame);
  base::Status HandleHello(std::string_view text);
  base::Status HandleRequest(std::string_view text);
  base::Status HandleData(const Frame& frame);
  base::Status HandleEnd(const Frame& frame);
  void Break(const base::Error& error);
  void Close();
  void Pump();
  base::Result<bool> PumpTransfer();  // true: the socket takes no more
  base::Result<bool> PumpChanges();   // likewise
  void Wake();

  // --- requests (session_requests.cc)
  bool NeedsRoot(const Request& request) const;
  void Serve(const Request& request);
  Outcome<Reply> ServeNow(const Request& request);
  Outcome<Reply> ServeExec(const Exec& exec);
  Outcome<Reply> ServeAttach(const Attach& attach);
  Outcome<Process*> FindProcess(const std::string& id);
  static std::unexpected<Failure> RefuseInUse();

  // --- requests about files (session_files.cc)
  static bool IsAboutFiles(const Request& request);
  Outcome<std::optional<Reply>> ServeFile(const Request& request);  // nothing: answered later
  Outcome<Reply> ServeFileNow(const Request& request, const Identity& user);
  Outcome<Reply> ServeReadFile(const ReadFile& request, const Identity& user);
  Outcome<void> BeginWriteFile(const WriteFile& request, const Identity& user, uint32_t seq);
  Outcome<void> BeginList(const ListDirectory& request, const Identity& user, uint32_t seq);
  Outcome<void> BeginRemove(const Remove& request, const Identity& user, uint32_t seq);
  Outcome<Reply> BeginWatch(const WatchFiles& request, const Identity& user);
  Outcome<void> HandOver(const Request& request, const Identity& user);

  bool used() const { return attached_ || transfer_ || file_watch_ || receiver_ || spent_; }

  Server& server_;
  const uint64_t number_;
  base::UniqueFd socket_;
  base::Watch watch_;
  FrameReader reader_{kBufferBytes, kMaxPayload};
  FrameQueue queue_;
  std::unique_ptr<Attached> attached_;
  std::unique_ptr<Transfer> transfer_;
  std::unique_ptr<Transfer> removal_;  // later requests wait for it
  std::unique_ptr<FileWatch> file_watch_;
  std::unique_ptr<FileReceiver> receiver_;
  uint32_t receiver_seq_ = 0;
  size_t receiver_credit_ = 0;      // granted, not arrived
  std::optional<Request> waiting_;  // for the root
  bool greeted_ = false;
  bool spent_ = false;   // its transfer or attachment is over: data that still comes is dropped
  bool broken_ = false;  // closes once the queue is sent
  bool closed_ = false;
  bool readable_ = false;
  bool hung_up_ = false;
};

}  // namespace msb::agent
