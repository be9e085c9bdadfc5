// Attachment: one process in the guest, seen from the host: its output, its exit, its input.
//
// Owned by whoever wants the process; single thread, on the event loop it was made with, which must
// outlive it. A callback may destroy the attachment. Destroying it closes the stream: the process
// then dies or stays as its Exec says.
//
// Everything the guest sends is checked (length, stream, state, credit); a violation ends the
// attachment with on_failed(kProtocol). Memory is bounded: a consumer that calls PauseOutput stops
// the reading and so the guest.
//
// Order of callbacks: on_started, any output, on_exit; or on_failed at any time. After on_exit and
// on_failed nothing follows. Callbacks come from the event loop, never from within a member
// function.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

// 127 program missing, 126 not executable, 125 all else.
int ExitCodeOf(FailureCode code);
// A new random process id.
std::string NewProcessId();

class Attachment {
 public:
  struct Callbacks {  // all but on_exit and on_failed may be empty
    std::function<void(const Started&)> on_started;
    std::function<void(std::string_view)> on_stdout;
    std::function<void(std::string_view)> on_stderr;
    std::function<void(unsigned stream, std::string_view)> on_extra;  // stream: kFirstExtra …
    std::function<void(unsigned stream)> on_end;                      // an output stream has ended
    std::function<void(unsigned stream, uint64_t bytes)> on_dropped;
    std::function<void(unsigned stream)> on_writable;  // Writable() was 0 and no longer is
    std::function<void(const Exited&)> on_exit;
    std::function<void(const Failure&)> on_failed;
  };

  // `stream`: a connected stream to the agent's port. The request is sent at once, nothing is
  // waited for.
  static base::Result<std::unique_ptr<Attachment>> Execute(base::EventLoop& loop,
                                                           base::UniqueFd stream, const Exec& exec,
                                                           Callbacks callbacks);
  static base::Result<std::unique_ptr<Attachment>> Reattach(base::EventLoop& loop,
                                                            base::UniqueFd stream,
                                                            const Attach& attach,
                                                            Callbacks callbacks);
  ~Attachment();
  Attachment(const Attachment&) = delete;

  // Input. Write takes what there is credit for and returns how much that was; on_writable tells
  // when to go on. Legal from the start: what is written before on_started travels with the
  // request.
  size_t Writable(unsigned stream) const;
  size_t Write(unsigned stream, std::string_view data);
  void CloseInput(unsigned stream);  // end of file for the process; later writes take nothing
  size_t WriteStdin(std::string_view data) { return Write(kStdin, data); }
  void CloseStdin() { CloseInput(kStdin); }

  void Start();  // of an Exec with start = false
  void Signal(int signal, bool group = false);
  void Resize(WindowSize size);

  // No output, end or exit callback between the two. Legal in callbacks.
  void PauseOutput();
  void ResumeOutput();

 private:
  class Impl;
  explicit Attachment(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace msb::agent
