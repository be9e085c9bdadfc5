// Session: one program in a sandbox of its own, attached to this process's terminal or pipes, until
// it ends. spec/cli.md, "Terminal" and exit codes.
//
// With a terminal: raw mode, a pty, the window size followed. With pipes: INT TERM QUIT HUP USR1
// USR2 are forwarded; a second TERM, or a third INT or QUIT within two seconds, kills. When this
// process ends, however, the sandbox ends (its lease closes). Single thread; Run once.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/agent/client/attachment.h"
#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/cli/output.h"
#include "src/cli/terminal.h"
#include "src/sandbox/launch.h"
#include "src/sandbox/protocol.h"

namespace msb::cli {

class Session {
 public:
  static base::Result<std::unique_ptr<Session>> Create();

  // `files`: the descriptors that SandboxSpec names by index; closed here once they are handed on,
  // so that the disk is gone with the sandbox. Adds the agent's stream to `spec`, a pty to `exec`
  // if this is a terminal. Returns the exit code; what went wrong has been printed.
  base::Result<int> Run(sandbox::SandboxSpec spec, std::vector<base::UniqueFd> files,
                        agent::Exec exec);

 private:
  explicit Session(std::unique_ptr<base::EventLoop> loop);
  base::Status WatchSignals();
  base::Status WatchInput();
  void OnSignal(int signal);
  bool IsInsistent();  // of an interrupt: the third within two seconds
  void OnInput();
  void PumpInput();
  void OnOutput(Output& output, std::string_view data);
  void OnDrained();
  void OnExit(const agent::Exited& exited);
  void OnFailed(const agent::Failure& failure);
  void OnEnded(const sandbox::Ended& ended);
  // The first code stands; the sandbox is told to go, and Run returns when it is gone.
  void Finish(int code);
  void Complain(const std::string& line);

  std::unique_ptr<base::EventLoop> loop_;
  RawTerminal terminal_;
  base::SignalWatch signals_;
  std::unique_ptr<Output> stdout_;
  std::unique_ptr<Output> stderr_;
  base::Watch input_watch_;
  bool input_always_ready_ = false;  // a file: epoll does not know it
  bool input_ended_ = false;
  bool interactive_ = false;
  bool started_ = false;
  bool terminated_once_ = false;
  std::vector<int64_t> interrupts_;
  std::unique_ptr<sandbox::Lease> lease_;
  std::unique_ptr<agent::Attachment> attachment_;
  std::optional<agent::Exited> exited_;
  std::optional<int> code_;
  bool sandbox_gone_ = false;
  base::Timer patience_;
};

}  // namespace msb::cli
