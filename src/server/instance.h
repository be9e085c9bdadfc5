// Instance: one sandbox that runs, as the server sees it: the conversation with its monitor, its
// guest, its contexts.
//
// Shared by the registry and the calls that use it (shared_ptr), until it has ended and they have;
// one thread. The sandbox does not need it: a server that goes leaves it running, and the next one
// finds it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "src/sandbox/catalog.h"
#include "src/sandbox/client.h"
#include "src/server/async.h"
#include "src/server/context.h"
#include "src/server/guest.h"
#include "src/server/lock.h"
#include "src/server/loop.h"
#include "src/server/process_input.h"

namespace msb::server {

class Instance : public std::enable_shared_from_this<Instance> {
 public:
  static constexpr size_t kMaxContexts = 64;

  static base::Result<std::shared_ptr<Instance>> Connect(Loop& loop,
                                                         const sandbox::FoundSandbox& found);
  Instance(const Instance&) = delete;

  // For as long as it lives the sandbox is in use, that is, not idle.
  class Use {
   public:
    explicit Use(std::shared_ptr<Instance> instance);
    ~Use();
    Use(Use&& other) = default;
    Instance* operator->() const { return instance_.get(); }
    Instance& operator*() const { return *instance_; }

   private:
    std::shared_ptr<Instance> instance_;
  };

  const sandbox::State& state() const { return state_; }
  Guest& guest() { return guest_; }
  sandbox::Client& monitor() { return *monitor_; }
  bool ended() const { return ended_.has_value(); }

  // Tells it to end, and waits until it has.
  Async<base::Status> Stop(std::chrono::milliseconds grace);
  // An error that a guest which has gone may have caused: with the reason why it has. That of a
  // call which was cancelled is only that.
  Async<base::Error> Explain(Cancellation& cancellation, base::Error error);

  // An Exec with what the sandbox's programs have in common.
  agent::Exec NewProcess() const;

  // Whether programs can be what the sandbox's defaults say. kInvalid names the user that there is
  // not, or the directory that cannot be made.
  Async<base::Status> CheckDefaults();

  // Made if it is not there; `process` is for a new one. kLimit.
  base::Result<std::shared_ptr<Context>> GetContext(Language language, const std::string& name,
                                                    std::optional<agent::Exec> process = {});
  // kNotFound.
  base::Result<std::shared_ptr<Context>> FindContext(Language language, const std::string& name);
  bool HasContext(Language language, const std::string& name) const;
  void RemoveContext(Language language, const std::string& name);
  // One that never got ready is none, unless another call is about to start it.
  void ForgetUnstarted(Language language, const std::string& name,
                       const std::shared_ptr<Context>& context);
  std::vector<api::ContextInfo> ListContexts() const;

  // Its number in the guest; it goes on when nobody is attached.
  Async<base::Result<uint32_t>> StartProcess(agent::Exec exec);
  Async<base::Status> WriteInput(std::string process, std::string data, bool eof,
                                 Cancellation& cancellation);
  // That has ended, and whose end is known to whoever wanted to.
  Async<void> ForgetProcess(std::string process);
  // The sandbox's program, or a context's driver.
  bool IsOwnProcess(const std::string& process) const;

  // In milliseconds; absent: as it is, 0: none.
  Async<base::Result<sandbox::Limits>> SetLimits(std::optional<uint64_t> lifetime_ms,
                                                 std::optional<uint64_t> idle_ms);

 private:
  Instance(Loop& loop, sandbox::State state);

  sandbox::State state_;
  Guest guest_;
  std::unique_ptr<sandbox::Client> monitor_;
  std::map<std::pair<Language, std::string>, std::shared_ptr<Context>> contexts_;
  std::map<std::string, std::shared_ptr<ProcessInput>> inputs_;
  size_t uses_ = 0;
  Event gone_;
  std::optional<sandbox::Ended> ended_;
  // Of the requests to the monitor that are answered, one at a time.
  Lock asking_;
  Event answered_;
  std::optional<base::Result<sandbox::Limits>> limits_;
};

}  // namespace msb::server
