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
    return stopper;
  }

  void Add(const std::string& name) {
    auto found = sandbox::FindSandbox(name);
    if (!found) return Fail(found.error());
    if (found->state.phase == sandbox::Phase::kEnded) return KillLeftovers(found->state);
    Stopping& stopping = stopping_.emplace_back(*std::move(found));
    base::Status asked = Ask(stopping);
    if (asked) return;
    // Its monitor has just ended, or does not answer.
    KillLeftovers(stopping.found.state);
    stopping_.pop_back();
  }

  base::Result<bool> Run() {
    patience_.Arm(std::chrono::seconds(grace_s_) + kPatience);
    if (!AllEnded()) TRY(loop_->Run());
    return !failed_;
  }

 private:
  struct Stopping {
    explicit Stopping(sandbox::FoundSandbox sandbox) : found(std::move(sandbox)) {}
    sandbox::FoundSandbox found;
    std::unique_ptr<sandbox::Client> client;
    bool ended = false;
  };

  explicit Stopper(uint32_t grace_s) : grace_s_(grace_s) {}

  void Fail(const base::Error& error) {
    failed_ = true;
    Complain(error.message(), kFailure);
  }

  base::Status Ask(Stopping& stopping) {
    stopping.client =
        TRY(sandbox::Client::Connect(*loop_, stopping.found,
                                     {.on_stopping = {},
                                      .on_ended =
                                          [this, &stopping](const sandbox::Ended&) {
                                            stopping.ended = true;
                                            std::puts(stopping.found.state.name.c_str());
                                            if (AllEnded()) loop_->Stop();
                                          },
                                      .on_failure = {}}));
    return stopping.client->Stop(grace_s_ * 1000);
  }

  bool AllEnded() const {
    return std::ranges::all_of(stopping_, [](const Stopping& one) { return one.ended; });
  }

  static void KillLeftovers(const sandbox::State& state) {
    (void)sandbox::Kill(state.monitor);
    (void)sandbox::Kill(state.vmm);
    (void)sandbox::Kill(state.guest);
    std::puts(state.name.c_str());
  }

  // The rest dies with them; their clients hear of it.
  void KillMonitors() {
    for (const Stopping& one : stopping_) {
      if (one.ended) continue;
      LOG(kWarning, "the monitor of sandbox {} does not answer: it is killed",
          one.found.state.name);
      (void)sandbox::Kill(one.found.state.monitor);
    }
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
  const auto client = TRY(sandbox::Client::Connect(*loop, name, {}));
  return client->Resume();
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
