// Session: one program in a sandbox, attached to this process's terminal or pipes, until it ends.
// spec/cli.md, "Terminal" and exit codes.
//
// With a terminal: raw mode, a pty, the window size followed. Without: INT TERM QUIT HUP USR1 USR2
// are forwarded; a second TERM, or a third INT or QUIT within two seconds, kills. Whoever made it
// holds the sandbox, and tells it how that fares. Single thread; Run once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "src/agent/client/attachment.h"
#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/cli/detach_keys.h"
#include "src/cli/output.h"
#include "src/cli/terminal.h"
#include "src/sandbox/protocol.h"

namespace msb::cli {

class Session {
 public:
  struct Style {
    bool input = false;     // our standard input is the program's
    bool terminal = false;  // the program has a pty
    // It is the sandbox's own program, which others started: Ctrl-P Ctrl-Q on the terminal leaves
    // it alone, and its end is the sandbox's.
    bool joins = false;
  };

  static base::Result<std::unique_ptr<Session>> Create(Style style);

  base::EventLoop& loop() { return *loop_; }
  // Called once the exit code is known, for a sandbox that has to go with the program: Run returns
  // when SandboxEnded was called, too.
  void OnFinish(std::function<void()> release) { release_ = std::move(release); }

  // Called when the program has ended, with all its output received; SandboxEnded must follow.
  void OnExited(std::function<void()> received) { received_ = std::move(received); }

  // `stream`: to the agent. Returns the exit code; what went wrong has been printed.
  base::Result<int> Run(base::UniqueFd stream, std::variant<agent::Exec, agent::Attach> request);

  void SandboxStopping(sandbox::EndReason reason);
  void SandboxEnded(const sandbox::Ended& ended);
  void Fail(const std::string& message);  // nothing will come of it: 125

 private:
  Session(Style style, std::unique_ptr<base::EventLoop> loop);
  agent::Attachment::Callbacks Callbacks();
  base::Status WatchSignals();
  base::Status WatchInput();
  void OnStarted();
  void OnSignal(int signal);
  bool IsInsistent();  // of an interrupt: the third within two seconds
  void OnInput();
  void OnTyped(std::string_view typed);
  void PumpInput();
  void OnOutput(Output& output, std::string_view data);
  void OnDrained();
  void OnExit(const agent::Exited& exited);
  void OnFailed(const agent::Failure& failure);
  void Conclude(const sandbox::Ended& ended);
  // The first code stands; the sandbox is released, and Run returns when it is gone.
  void Finish(int code);
  void Complain(const std::string& line);

  const Style style_;
  const bool raw_;  // our terminal is the program's
  std::unique_ptr<base::EventLoop> loop_;
  std::function<void()> release_;
  std::function<void()> received_;
  RawTerminal terminal_;
  DetachKeys detach_keys_;
  base::SignalWatch signals_;
  std::unique_ptr<Output> stdout_;
  std::unique_ptr<Output> stderr_;
  base::Watch input_watch_;
  bool input_always_ready_ = false;  // a file: epoll does not know it
  bool input_ended_ = false;
  std::string kept_input_;  // typed, not sent: a few bytes
  bool started_ = false;
  bool terminated_once_ = false;
  std::vector<int64_t> interrupts_;
  std::unique_ptr<agent::Attachment> attachment_;
  bool stream_gone_ = false;
  std::optional<sandbox::EndReason> limit_;  // that ends the sandbox
  std::optional<sandbox::Ended> ended_;
  std::optional<int> code_;
  base::Timer patience_;
};

// What is to be said of a sandbox that ended, with the guest kernel's last lines.
void PrintEnd(const sandbox::Ended& ended);

// Where the time goes, with --debug.
void Mark(const char* phase);

}  // namespace msb::cli
