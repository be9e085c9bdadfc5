#include "src/server/instance.h"

#include <algorithm>

#include "src/base/bytes.h"
#include "src/base/log.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

// What a monitor may take beyond the grace of a stop, and to say why a guest has gone.
constexpr std::chrono::seconds kStopPatience{90};
constexpr std::chrono::seconds kReasonPatience{5};

}  // namespace

Instance::Instance(Loop& loop, sandbox::State state)
    : state_(std::move(state)),
      guest_(loop,
             [this]() -> base::Result<base::UniqueFd> {
               if (ended_) return Fail(ErrorCode::kClosed, "it has ended");
               return monitor_->ConnectAgent();
             }),
      gone_(loop.executor()),
      asking_(loop.executor()),
      answered_(loop.executor()) {}

base::Result<std::shared_ptr<Instance>> Instance::Connect(Loop& loop,
                                                          const sandbox::FoundSandbox& found) {
  std::shared_ptr<Instance> instance(new Instance(loop, found.state));
  sandbox::Client::Callbacks callbacks;
  callbacks.on_ended = [raw = instance.get()](const sandbox::Ended& ended) {
    raw->ended_ = ended;
    raw->gone_.Set();
    raw->answered_.Set();
  };
  callbacks.on_limits = [raw = instance.get()](const sandbox::Limits& limits) {
    raw->limits_ = limits;
    raw->answered_.Set();
  };
  callbacks.on_failure = [raw = instance.get()](const agent::Failure& failure) {
    LOG(kWarning, "the monitor of sandbox {} refused: {}", raw->state_.name,
        ErrorOf(failure).message());
  };
  callbacks.on_limits_refused = [raw = instance.get()](const agent::Failure& failure) {
    raw->limits_ = ErrorOf(failure);
    raw->answered_.Set();
  };
  instance->monitor_ = TRY(sandbox::Client::Connect(loop.events(), found, std::move(callbacks)));
  TRY(instance->monitor_->SetInUse(false));
  return instance;
}

// --- use -----------------------------------------------------------------------------------------

Instance::Use::Use(std::shared_ptr<Instance> instance) : instance_(std::move(instance)) {
  // What cannot be said to a monitor that has gone needs not be.
  if (instance_->uses_++ == 0 && !instance_->ended()) (void)instance_->monitor_->SetInUse(true);
}

Instance::Use::~Use() {
  if (!instance_) return;  // moved
  if (--instance_->uses_ == 0 && !instance_->ended()) (void)instance_->monitor_->SetInUse(false);
}

agent::Exec Instance::NewProcess() const {
  agent::Exec exec;
  exec.id = agent::NewProcessId();
  exec.env = state_.defaults.env;
  exec.cwd = state_.defaults.cwd;
  exec.create_cwd = state_.defaults.create_cwd;
  exec.user = state_.defaults.user;
  return exec;
}

Async<base::Status> Instance::CheckDefaults() {
  const auto self = shared_from_this();
  agent::Exec exec = NewProcess();
  exec.argv = {"/"};  // no program: what the agent refuses it for if all else is as it should be
  const auto started = co_await StartProcess(std::move(exec));
  if (started || started.error().code() == ErrorCode::kSystem) co_return base::Status();
  co_return started.error();
}

// --- the end -------------------------------------------------------------------------------------

Async<base::Status> Instance::Stop(std::chrono::milliseconds grace) {
  const auto self = shared_from_this();
  if (!ended_) CO_TRY(monitor_->Stop(static_cast<uint32_t>(grace.count())));
  if (!co_await gone_.Wait(Clock::now() + grace + kStopPatience)) {
    co_return Fail(ErrorCode::kTimeout, "the monitor of sandbox {} does not end", state_.name);
  }
  co_return base::Status();
}

Async<base::Error> Instance::Explain(Cancellation& cancellation, base::Error error) {
  const auto self = shared_from_this();
  if (error.code() != ErrorCode::kClosed || cancellation.cancelled()) co_return error;
  co_await gone_.Wait(Clock::now() + kReasonPatience);
  if (!ended_) co_return error;
  co_return Fail(ErrorCode::kClosed, "sandbox {} has ended meanwhile: {}", state_.name,
                 base::EscapeForTerminal(ended_->message));
}

Async<base::Result<sandbox::Limits>> Instance::SetLimits(std::optional<uint64_t> lifetime_ms,
                                                         std::optional<uint64_t> idle_ms) {
  const auto self = shared_from_this();
  Cancellation never;
  const Lock::Guard guard = co_await asking_.Acquire(never);
  limits_.reset();
  answered_.Clear();
  if (!ended_) CO_TRY(monitor_->SetLimits({.lifetime_ms = lifetime_ms, .idle_ms = idle_ms}));
  if (!ended_) co_await answered_.Wait(Clock::now() + kReasonPatience);
  if (limits_) co_return *limits_;
  if (ended_) co_return co_await Explain(never, Fail(ErrorCode::kClosed, "it has ended"));
  co_return Fail(ErrorCode::kTimeout, "the monitor of sandbox {} does not answer", state_.name);
}

// --- processes -----------------------------------------------------------------------------------

Async<base::Result<uint32_t>> Instance::StartProcess(agent::Exec exec) {
  struct Outcome {
    explicit Outcome(boost::asio::any_io_executor executor) : known(std::move(executor)) {}
    Event known;
    std::optional<uint32_t> pid;
    std::optional<base::Error> failed;
  };
  const auto outcome = std::make_shared<Outcome>(guest_.loop().executor());
  agent::Attachment::Callbacks callbacks;
  callbacks.on_started = [outcome](const agent::Started& started) {
    outcome->pid = started.pid;
    outcome->known.Set();
  };
  callbacks.on_exit = [](const agent::Exited&) {};
  callbacks.on_failed = [outcome](const agent::Failure& failure) {
    outcome->failed = ErrorOf(failure);
    outcome->known.Set();
  };
  CO_TRY(base::UniqueFd stream, guest_.NewStream());
  CO_TRY(const auto attachment,
         agent::Attachment::Execute(guest_.loop().events(), std::move(stream), exec,
                                    std::move(callbacks)));
  if (!co_await outcome->known.Wait(Clock::now() + Guest::kPatience)) {
    co_return Fail(ErrorCode::kTimeout, "the sandbox's agent does not answer");
  }
  if (!outcome->pid) co_return *outcome->failed;
  co_return *outcome->pid;
}

Async<base::Status> Instance::WriteInput(std::string process, std::string data, bool eof,
                                         Cancellation& cancellation) {
  std::erase_if(inputs_, [](const auto& entry) { return entry.second->closed(); });
  auto& kept = inputs_[process];
  if (!kept) {
    auto opened = ProcessInput::Open(guest_, process);
    if (!opened) {
      inputs_.erase(process);
      co_return opened.error();
    }
    kept = *std::move(opened);
  }
  const std::shared_ptr<ProcessInput> input = kept;
  co_return co_await input->Write(std::move(data), eof, cancellation);
}

Async<void> Instance::ForgetProcess(std::string process) {
  inputs_.erase(process);
  Cancellation never;
  // One that was forgotten by another call meanwhile is no loss.
  (void)co_await guest_.Wait({.id = std::move(process), .collect = true},
                             Clock::now() + Guest::kPatience, never);
}

bool Instance::IsOwnProcess(const std::string& process) const {
  if (state_.program && state_.program->id == process) return true;
  return std::ranges::any_of(
      contexts_, [&](const auto& entry) { return entry.second->process_id() == process; });
}

// --- contexts ------------------------------------------------------------------------------------

base::Result<std::shared_ptr<Context>> Instance::GetContext(Language language,
                                                            const std::string& name,
                                                            std::optional<agent::Exec> process) {
  const auto found = contexts_.find({language, name});
  if (found != contexts_.end()) return found->second;
  if (contexts_.size() >= kMaxContexts) {
    return Fail(ErrorCode::kLimit,
                "sandbox {} has {} contexts already: remove one (sandbox.context.remove)",
                state_.name, kMaxContexts);
  }
  auto context = std::make_shared<Context>(
      guest_, language, name, process ? *std::move(process) : NewProcess(), state_.image);
  contexts_.emplace(std::pair(language, name), context);
  return context;
}

base::Result<std::shared_ptr<Context>> Instance::FindContext(Language language,
                                                             const std::string& name) {
  const auto found = contexts_.find({language, name});
  if (found != contexts_.end()) return found->second;
  return Fail(ErrorCode::kNotFound, "sandbox {} has no context {} for {}", state_.name, name,
              NameOf(language));
}

bool Instance::HasContext(Language language, const std::string& name) const {
  return contexts_.contains({language, name});
}

void Instance::RemoveContext(Language language, const std::string& name) {
  contexts_.erase({language, name});
}

void Instance::ForgetUnstarted(Language language, const std::string& name,
                               const std::shared_ptr<Context>& context) {
  constexpr long kOurs = 2;  // the map's and the caller's
  const auto found = contexts_.find({language, name});
  if (found == contexts_.end() || found->second != context) return;
  if (context.use_count() > kOurs || !context->Info().language_version.empty()) return;
  contexts_.erase(found);
}

std::vector<api::ContextInfo> Instance::ListContexts() const {
  std::vector<api::ContextInfo> infos;
  for (const auto& [key, context] : contexts_) infos.push_back(context->Info());
  return infos;
}

}  // namespace msb::server
