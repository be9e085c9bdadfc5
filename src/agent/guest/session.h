// Session: one connection of the host: its frames in and out, and what it is used for: plain
// requests, one attachment, or one transfer. What touches files is done elsewhere (file_workers.h);
// a tree's transfer takes the connection away from it.
//
// Owned by the Server, which destroys it after the event in which closed() became true, and with it
// all that it has begun. Input is bounded by the frame limit and by credit; replies by stopping to
// read requests while the host does not read them. A broken frame is answered with a Failure and
// ends the connection. One thread.
#pragma once

#include <list>
#include <memory>
#include <string_view>

#include "src/agent/frame.h"
#include "src/agent/guest/attached.h"
#include "src/agent/guest/failure.h"
#include "src/agent/guest/file_workers.h"
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
  // Ends, once all is sent, if it is attached to that process.
  void Leave(const Process& process);

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
  void Wake();

  // --- requests (session_requests.cc)
  bool NeedsRoot(const Request& request) const;
  void Serve(const Request& request);
  Outcome<Reply> ServeNow(const Request& request);
  void RefuseRequest(const Request& request, const Failure& failure);
  // Answered later, or, what is only created, at once.
  Outcome<void> ServeExec(const Request& request);
  Outcome<void> BeginExec(const Request& request, const ExecLookup* lookup);
  Outcome<void> StartProcess(const Request& request);
  void OnStarted(uint32_t seq, const Outcome<void>& started);
  Reply DescribeAttached(uint32_t seq) const;
  Outcome<Reply> ServeAttach(const Attach& attach);
  Outcome<Process*> FindProcess(const std::string& id);
  static std::unexpected<Failure> RefuseInUse();

  // --- requests about files (session_files.cc)
  struct FileWork {
    std::unique_ptr<FileTask> task;
    uint32_t seq = 0;
    bool replied = false;
    bool more = false;        // when it is told to go on
    bool takes_data = false;  // until its end
  };
  using FileWorks = std::list<FileWork>;
  Outcome<void> ServeFile(const Request& request);  // answered later
  Outcome<void> BeginFileWork(const Request& request);
  Outcome<void> HandOver(const Request& request);
  Outcome<void> LookUpExec(const Request& request);  // answered later
  void OnLookedUp(const Request& request, const Outcome<ExecLookup>& lookup);
  void OnFileFrame(FileWorks::iterator work, const Frame& frame);
  void OnFileTurn(FileWorks::iterator work, Turn turn, size_t taken);
  void OnFileLost(FileWorks::iterator work, const Failure& failure);
  void EndFileWork(FileWorks::iterator work);
  void GoOnWithFiles();
  base::Status TakeFileData(const Frame& frame);
  void GrantCredit();

  bool used() const { return attached_ || transfer_ || spent_; }

  Server& server_;
  const uint64_t number_;
  base::UniqueFd socket_;
  base::Watch watch_;
  FrameReader reader_{kBufferBytes, kMaxPayload};
  FrameQueue queue_;
  std::unique_ptr<Attached> attached_;
  FileWorks file_works_;
  FileWork* transfer_ = nullptr;    // of them, the one that uses up the connection
  size_t credit_ = 0;               // of a write: granted, not arrived
  size_t taken_over_ = 0;           // likewise: arrived, not written
  std::optional<Request> waiting_;  // for the root
  bool beginning_ = false;          // an exec is looked up or started: later requests wait
  std::unique_ptr<FileTask> lookup_;
  bool greeted_ = false;
  bool spent_ = false;   // its transfer or attachment is over: data that still comes is dropped
  bool broken_ = false;  // closes once the queue is sent
  bool closed_ = false;
  bool readable_ = false;
  bool hung_up_ = false;
};

}  // namespace msb::agent
