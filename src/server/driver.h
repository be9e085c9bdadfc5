// Driver: the process of one context in a guest (guest/repl), as long as it lives: what it says, in
// order, and what it is told.
//
// Owned by its Context; one thread. Bounded: a Driver whose items nobody takes stops reading, which
// stops the code. Destroying it kills the process.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "src/agent/client/attachment.h"
#include "src/server/async.h"
#include "src/server/backlog.h"
#include "src/server/guest.h"
#include "src/server/repl_wire.h"
#include "src/server/text.h"

namespace msb::server {

class Driver {
 public:
  static constexpr size_t kMaxWaiting = 256 * 1024;  // bytes of items that nobody has taken

  // What the process itself wrote, beside the protocol: a crash's last words.
  struct RawOutput {
    OutputStream stream;
    std::string data;
  };
  // How it ended; the last item.
  struct Ended {
    std::string how;       // "exited with code 3", "was killed by signal 9 (Killed)"
    bool missing = false;  // the program is not in the image
    // The agent did not start it for another reason, or the sandbox has gone (kClosed).
    std::optional<base::Error> failed = {};
    bool disconnected() const { return failed && failed->code() == base::ErrorCode::kClosed; }
  };
  using Item = std::variant<repl::FromDriver, RawOutput, Ended>;

  static base::Result<std::unique_ptr<Driver>> Start(Guest& guest, const agent::Exec& exec);
  ~Driver();

  const std::string& process_id() const { return process_id_; }
  void Send(const repl::ToDriver& message);

  // The next item; absent: the deadline passed, or somebody called Wake.
  Async<std::optional<Item>> Next(Clock::time_point deadline);
  void Wake();
  // Ends the process; `why` completes "was killed: ".
  void Kill(const std::string& why);
  // Throws away what has come, and what will, until Listen: nobody's output, between two runs.
  void Ignore();
  void Listen() { ignoring_ = false; }
  bool ended() const { return ended_; }

 private:
  Driver(Guest& guest, std::string process_id);
  agent::Attachment::Callbacks Callbacks();
  void OnExtra(std::string_view data);
  void OnExit(const agent::Exited& exited);
  void OnFailed(const agent::Failure& failure);
  void Push(Item item, size_t bytes);
  void End(Ended ended);
  void Pump();
  void ResumeOutput();

  std::string process_id_;
  Event changed_;
  repl::FrameReader reader_;
  Backlog<Item> items_{kMaxWaiting};
  bool ignoring_ = false;
  bool ended_ = false;
  std::string unsent_;
  std::unique_ptr<agent::Attachment> attachment_;
};

}  // namespace msb::server
