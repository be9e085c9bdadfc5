// Context: one named set of variables in one language: a driver process in the guest, started when
// it is first needed, and again when it has ended.
//
// Owned by its Instance; one thread. Runs come one after the other. docs/repl.md says what users
// see, guest/repl/PROTOCOL.md what is said.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "src/server/api/run.h"
#include "src/server/async.h"
#include "src/server/driver.h"
#include "src/server/guest.h"
#include "src/server/lock.h"
#include "src/server/run_report.h"

namespace msb::server {

enum class Language { kPython, kNode };
std::string_view NameOf(Language language);
// kInvalid names those that there are.
base::Result<Language> ParseLanguage(std::string_view name);

class Context {
 public:
  // What code that does not stop when it is interrupted is left before its context is killed; after
  // the first part of it it is interrupted once more.
  static constexpr std::chrono::seconds kInterruptAgain{1};
  static constexpr std::chrono::seconds kInterruptGrace{5};
  // What a driver may take to say hello: generous, since it ends only those that hang.
  static constexpr std::chrono::seconds kStartPatience{60};

  // `process`: environment, directory and user of the driver. `image`: for messages.
  Context(Guest& guest, Language language, std::string name, agent::Exec process,
          std::string image);

  Async<base::Result<api::RunEnd>> Run(std::string code, std::optional<double> timeout_s,
                                       RunReport& report, Cancellation& cancellation);
  // Starts the process if it is not there.
  Async<base::Status> Start(Cancellation& cancellation);
  // Of what runs now; nothing if nothing does.
  void Interrupt();
  // Ends the process; what runs ends with it.
  void Kill(const std::string& why);

  api::ContextInfo Info() const;
  std::string process_id() const { return driver_ ? driver_->process_id() : ""; }

 private:
  struct Running;  // of one Run

  Async<base::Status> EnsureDriver(Cancellation& cancellation);
  Async<base::Status> PutDriverFile(Cancellation& cancellation);
  Async<base::Status> WaitForHello(Cancellation& cancellation);
  base::Error StartFailure(const Driver::Ended& ended, std::string_view said) const;
  Async<base::Result<api::RunEnd>> Follow(Running& run);
  Async<std::optional<api::RunEnd>> Take(Running& run, repl::FromDriver message);
  Async<base::Result<api::RunEnd>> OnEnded(Running& run, const Driver::Ended& ended);
  Async<base::Status> Press(Running& run);
  Async<base::Status> SendInterrupt(uint64_t id);

  Guest& guest_;
  const Language language_;
  const std::string name_;
  const agent::Exec process_;
  const std::string image_;
  Lock lock_;
  std::unique_ptr<Driver> driver_;
  bool interrupts_by_signal_ = false;
  std::string language_version_;
  bool interrupt_wanted_ = false;
  uint64_t next_id_ = 1;
  uint64_t runs_ = 0;
};

}  // namespace msb::server
