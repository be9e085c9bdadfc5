// The engine's part that runs code and commands: repl, contexts, command.run.
#include "src/agent/client/attachment.h"
#include "src/base/bytes.h"
#include "src/sandbox/environment.h"
#include "src/server/backlog.h"
#include "src/server/config.h"
#include "src/server/engine.h"
#include "src/server/process_plan.h"
#include "src/server/run_report.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

// One command, from its start to its end: what it writes, in order, until somebody takes it.
class CommandRun {
 public:
  static constexpr size_t kMaxWaiting = kStreamBytes;

  explicit CommandRun(Loop& loop) : loop_(loop), changed_(loop.executor()) {}

  base::Status Start(Guest& guest, const agent::Exec& exec) {
    agent::Attachment::Callbacks callbacks;
    callbacks.on_stdout = [this](std::string_view data) { Push(OutputStream::kStdout, data); };
    callbacks.on_stderr = [this](std::string_view data) { Push(OutputStream::kStderr, data); };
    callbacks.on_exit = [this](const agent::Exited& exited) {
      exited_ = exited;
      changed_.Set();
    };
    callbacks.on_failed = [this](const agent::Failure& failure) {
      failed_ = ErrorOf(failure);
      changed_.Set();
    };
    attachment_ = TRY(agent::Attachment::Execute(loop_.events(), TRY(guest.NewStream()), exec,
                                                 std::move(callbacks)));
    return {};
  }

  // kTimeout, or kClosed for a client that has gone: the command is killed with this object.
  Async<base::Result<agent::Exited>> Follow(RunReport& report, Clock::time_point deadline,
                                            Cancellation& cancellation) {
    const Cancellation::Watch watch(cancellation, [this] { changed_.Set(); });
    for (;;) {
      changed_.Clear();
      while (!pieces_.empty() && !IsLate(deadline)) {
        auto [stream, data] = pieces_.Pop();
        CO_TRY(co_await report.Output(stream, std::move(data)));
      }
      if (pieces_.HasRoomAgain()) attachment_->ResumeOutput();
      if (cancellation.cancelled()) co_return Fail(ErrorCode::kClosed, "the client has gone");
      if (IsLate(deadline)) co_return Fail(ErrorCode::kTimeout, "");
      if (!pieces_.empty()) continue;
      if (failed_) co_return *failed_;
      if (exited_) co_return *exited_;
      co_await changed_.Wait(deadline);
    }
  }

 private:
  using Piece = std::pair<OutputStream, std::string>;

  // Not left to the wait: one that never stops writing has always something new.
  bool IsLate(Clock::time_point deadline) const { return !exited_ && Clock::now() >= deadline; }

  void Push(OutputStream stream, std::string_view data) {
    const bool full = pieces_.Push({stream, std::string(data)}, data.size() + sizeof(Piece));
    if (full) attachment_->PauseOutput();
    changed_.Set();
  }

  Loop& loop_;
  Event changed_;
  Backlog<Piece> pieces_{kMaxWaiting};
  std::optional<agent::Exited> exited_;
  std::optional<base::Error> failed_;
  std::unique_ptr<agent::Attachment> attachment_;
};

}  // namespace

base::Result<Language> Engine::LanguageAndContext(const std::string& language,
                                                  const std::string& context) const {
  TRY(CheckName("context", context));
  return ParseLanguage(language);
}

// --- code ----------------------------------------------------------------------------------------

Service::Reply<api::ReplResult> Engine::RunCode(Call call, api::ReplParams params) {
  CO_TRY(CheckSeconds("timeout", params.timeout, /*zero=*/false));
  CO_TRY(const Language language, LanguageAndContext(params.language, params.context));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  CO_TRY(const auto context, use->GetContext(language, params.context));
  RunReport report(call);
  const auto end =
      co_await context->Run(std::move(params.code), params.timeout, report, call.cancellation);
  if (!end) {
    use->ForgetUnstarted(language, params.context, context);
    co_return co_await use->Explain(call.cancellation, end.error());
  }
  api::ReplResult result;
  result.language = NameOf(language);
  result.end = *end;
  report.FillIn(result);
  co_return result;
}

Service::Reply<api::ContextInfo> Engine::CreateContext(Call call, api::ContextCreateParams params) {
  CO_TRY(const Language language, LanguageAndContext(params.language, params.context));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  if (use->HasContext(language, params.context)) {
    co_return Fail(ErrorCode::kExists, "sandbox {} has a context {} for {} already", params.sandbox,
                   params.context, NameOf(language));
  }
  CO_TRY(
      agent::Exec process,
      PlanProcess(
          *use, {.argv = {}, .envs = params.envs, .workdir = params.workdir, .user = params.user}));
  CO_TRY(const auto context, use->GetContext(language, params.context, std::move(process)));
  const base::Status started = co_await context->Start(call.cancellation);
  if (!started) {
    use->ForgetUnstarted(language, params.context, context);
    co_return co_await use->Explain(call.cancellation, started.error());
  }
  co_return context->Info();
}

Service::Reply<api::ContextList> Engine::ListContexts(Call call, api::SandboxRef params) {
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  co_return api::ContextList{use->ListContexts()};
}

Service::Reply<api::ContextInfo> Engine::InterruptContext(Call call, api::ContextParams params) {
  CO_TRY(const Language language, LanguageAndContext(params.language, params.context));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  CO_TRY(const auto context, use->FindContext(language, params.context));
  context->Interrupt();
  co_return context->Info();
}

Service::Reply<api::ContextInfo> Engine::RestartContext(Call call, api::ContextParams params) {
  CO_TRY(const Language language, LanguageAndContext(params.language, params.context));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  CO_TRY(const auto context, use->FindContext(language, params.context));
  context->Kill("the context was restarted");
  const base::Status started = co_await context->Start(call.cancellation);
  if (!started) co_return co_await use->Explain(call.cancellation, started.error());
  co_return context->Info();
}

Service::Reply<api::Empty> Engine::RemoveContext(Call call, api::ContextParams params) {
  CO_TRY(const Language language, LanguageAndContext(params.language, params.context));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  CO_TRY(const auto context, use->FindContext(language, params.context));
  context->Kill("the context was removed");
  use->RemoveContext(language, params.context);
  co_return api::Empty{};
}

// --- commands ------------------------------------------------------------------------------------

Service::Reply<api::CommandResult> Engine::RunCommand(Call call, api::CommandParams params) {
  CO_TRY(CheckSeconds("timeout", params.timeout, /*zero=*/false));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  CO_TRY(const agent::Exec exec, PlanProcess(*use, {.argv = ArgvOf(params.command, params.args),
                                                    .envs = params.envs,
                                                    .workdir = params.workdir,
                                                    .user = params.user}));
  CommandRun run(loop_);
  CO_TRY(run.Start(use->guest(), exec));
  RunReport report(call);
  const auto exited = co_await run.Follow(report, DeadlineIn(params.timeout), call.cancellation);
  if (!exited && exited.error().code() == ErrorCode::kTimeout) {
    co_return Fail(ErrorCode::kTimeout, "command {} did not end within {} s and was killed",
                   base::EscapeForTerminal(params.command), *params.timeout);
  }
  if (!exited) co_return co_await use->Explain(call.cancellation, exited.error());
  CO_TRY(co_await report.Finish());
  api::CommandResult result;
  result.command = std::move(params.command);
  result.args = std::move(params.args);
  result.exit_code = exited->ShellCode();
  result.success = result.exit_code == 0;
  result.out_of_memory = exited->out_of_memory;
  report.FillIn(result);
  co_return result;
}

}  // namespace msb::server
