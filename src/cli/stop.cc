// msb stop, rm, resume: what is done to sandboxes by name. Several at once; one that fails does not
// keep the others from it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <list>

#include "src/base/event_loop.h"
#include "src/base/log.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"
#include "src/sandbox/catalog.h"
#include "src/sandbox/client.h"

namespace msb::cli {
namespace {

// What a monitor may need beyond the grace before it is taken for dead.
constexpr std::chrono::seconds kPatience{70};

class Stopper {
 public:
  static base::Result<std::unique_ptr<Stopper>> Create(uint32_t grace_s) {
    std::unique_ptr<Stopper> stopper(new Stopper(grace_s));
    stopper->loop_ = TRY(base::EventLoop::Create());
    Stopper* raw = stopper.get();
    stopper->patience_ = TRY(raw->loop_->AddTimer([raw] { raw->KillMonitors(); }));
    raw->patience_.Arm(std::chrono::seconds(grace_s) + kPatience);
    return stopper;
  }

  void Add(const std::string& name) {
    auto found = sandbox::FindSandbox(name);
    if (!found) return Fail(found.error());
    Stopping& stopping = stopping_.emplace_back(found->state);
    if (found->state.phase == sandbox::Phase::kEnded) return KillLeftovers(stopping);
    const base::Status asked = Ask(stopping, *found);
    if (asked) return;
    // Its monitor has just ended, or is about to: nothing of it may stay.
    if (!sandbox::IsAlive(found->state.monitor)) return KillLeftovers(stopping);
    // So many wait for it that it cannot be well: it gets the time that others get.
    if (asked.error().code() == base::ErrorCode::kBusy) return;
    Fail(asked.error());
    stopping.ended = true;
  }

  base::Result<bool> Run() {
    if (!AllEnded()) TRY(loop_->Run());
    return !failed_;
  }

 private:
  struct Stopping {
    explicit Stopping(sandbox::State sandbox) : state(std::move(sandbox)) {}
    sandbox::State state;
    std::unique_ptr<sandbox::Client> client;
    bool ended = false;
  };

  explicit Stopper(uint32_t grace_s) : grace_s_(grace_s) {}

  void Fail(const base::Error& error) {
    failed_ = true;
    Complain(error.message(), kFailure);
  }

  base::Status Ask(Stopping& stopping, const sandbox::FoundSandbox& found) {
    stopping.client = TRY(sandbox::Client::Connect(
        *loop_, found,
        {.on_stopping = {},
         .on_resumed = {},
         .on_limits = {},
         .on_ended = [this, &stopping](const sandbox::Ended&) { OnEnded(stopping); },
         .on_failure =
             [this, &stopping](const agent::Failure& failure) {
               Fail(base::Fail(base::ErrorCode::kSystem, "sandbox {} cannot be stopped: {}",
                               stopping.state.name, failure.message.data));
               Done(stopping);
             }}));
    return stopping.client->Stop(grace_s_ * 1000);
  }

  void OnEnded(Stopping& stopping) {
    if (stopping.ended) return;
    // An end that is only the connection's is none.
    const auto found = sandbox::FindSandbox(stopping.state.id);
    if (found && found->state.phase != sandbox::Phase::kEnded) {
      Fail(base::Fail(base::ErrorCode::kClosed, "sandbox {}: the connection to its monitor broke",
                      stopping.state.name));
    } else {
      std::puts(stopping.state.name.c_str());
    }
    Done(stopping);
  }

  void Done(Stopping& stopping) {
    stopping.ended = true;
    if (AllEnded()) loop_->Stop();
  }

  bool AllEnded() const {
    return std::ranges::all_of(stopping_, [](const Stopping& one) { return one.ended; });
  }

  static void KillLeftovers(Stopping& stopping) {
    (void)sandbox::Kill(stopping.state.vmm);
    (void)sandbox::Kill(stopping.state.guest);
    std::puts(stopping.state.name.c_str());
    stopping.ended = true;
  }

  // The rest dies with them.
  void KillMonitors() {
    for (Stopping& one : stopping_) {
      if (one.ended) continue;
      LOG(kWarning, "the monitor of sandbox {} does not answer: it is killed", one.state.name);
      (void)sandbox::Kill(one.state.monitor);
      KillLeftovers(one);
    }
    loop_->Stop();
  }

  const uint32_t grace_s_;
  std::unique_ptr<base::EventLoop> loop_;
  base::Timer patience_;
  std::list<Stopping> stopping_;
  bool failed_ = false;
};

base::Result<bool> Stop(const StopOptions& options) {
  const auto stopper = TRY(Stopper::Create(options.grace_s));
  for (const std::string& name : options.sandboxes) stopper->Add(name);
  return stopper->Run();
}

base::Result<std::vector<std::string>> EndedSandboxes() {
  std::vector<std::string> ids;
  for (const sandbox::State& state : TRY(sandbox::ListSandboxes(/*ended_too=*/true))) {
    if (state.phase == sandbox::Phase::kEnded) ids.push_back(state.id);
  }
  return ids;
}

base::Status Resume(const std::string& name) {
  auto loop = TRY(base::EventLoop::Create());
  base::Status done;
  const auto fail = [&](const std::string& why) {
    done = base::Fail(base::ErrorCode::kSystem, "sandbox {} cannot be resumed: {}", name, why);
    loop->Stop();
  };
  const auto client = TRY(sandbox::Client::Connect(
      *loop, name,
      {.on_stopping = {},
       .on_resumed = [&] { loop->Stop(); },
       .on_limits = {},
       .on_ended = [&](const sandbox::Ended& ended) { fail(ended.message); },
       .on_failure = [&](const agent::Failure& failure) { fail(failure.message.data); }}));
  TRY(client->Resume());
  TRY(loop->Run());
  return done;
}

}  // namespace

int RunStop(const StopOptions& options) {
  const base::Result<bool> done = Stop(options);
  if (!done) return Complain(done.error().message(), kFailure);
  return *done ? 0 : kFailure;
}

int RunRemove(const RemoveOptions& options) {
  auto names =
      options.all ? EndedSandboxes() : base::Result<std::vector<std::string>>(options.sandboxes);
  if (!names) return Complain(names.error().message(), kFailure);
  int code = 0;
  for (const std::string& name : *names) {
    const base::Result<std::string> removed = sandbox::RemoveSandbox(name);
    if (removed) std::puts(removed->c_str());
    // Somebody else may have removed it meanwhile, which is what --all is for.
    if (!removed && options.all && removed.error().code() == base::ErrorCode::kNotFound) continue;
    if (!removed) code = Complain(removed.error().message(), kFailure);
  }
  return code;
}

int RunResume(const ResumeOptions& options) {
  int code = 0;
  for (const std::string& name : options.sandboxes) {
    const base::Status resumed = Resume(name);
    if (!resumed) code = Complain(resumed.error().message(), kFailure);
  }
  return code;
}

}  // namespace msb::cli
