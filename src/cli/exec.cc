// msb exec: a further program in a sandbox that runs. msb attach: the program of a detached one.
#include <cstdlib>

#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"
#include "src/cli/session.h"
#include "src/cli/terminal.h"
#include "src/sandbox/client.h"
#include "src/sandbox/environment.h"
#include "src/sandbox/further_program.h"

namespace msb::cli {
namespace {

using base::ErrorCode;

// The program lives as long as this connection: as long as we do.
base::Result<int> RunIn(const sandbox::FoundSandbox& found, Session::Style style,
                        std::variant<agent::Exec, agent::Attach> request) {
  auto session = TRY(Session::Create(style));
  const auto client = TRY(sandbox::Client::Connect(
      session->loop(), found,
      {.on_stopping = [&](sandbox::EndReason reason) { session->SandboxStopping(reason); },
       .on_resumed = {},
       .on_limits = {},
       .on_ended = [&](const sandbox::Ended& ended) { session->SandboxEnded(ended); },
       .on_failure = [&](const agent::Failure& failure) { session->Fail(failure.message.data); }}));
  // The sandbox ends with this program, and waits for us to have read all of it.
  if (style.joins && found.state.ends_with_program)
    session->OnExited([&] { (void)client->SayReceived(); });
  return session->Run(TRY(client->ConnectAgent(style.joins)), std::move(request));
}

base::Result<int> Exec(const ExecOptions& options) {
  const sandbox::FoundSandbox found = TRY(sandbox::FindSandbox(options.sandbox));
  sandbox::FurtherProgram program;
  program.argv.assign(options.arguments.begin(), options.arguments.end());
  program.env = options.env;
  if (const char* term = std::getenv("TERM"); term != nullptr && options.tty) {
    program.env = sandbox::MergeEnv({base::Bytes(fmt::format("TERM={}", term))}, program.env);
  }
  program.workdir = options.workdir;
  program.user = options.user;
  return RunIn(found, {.input = options.input, .terminal = options.tty, .joins = false},
               sandbox::ExecOf(found.state.defaults, program));
}

base::Result<int> Attach(const AttachOptions& options) {
  const sandbox::FoundSandbox found = TRY(sandbox::FindSandbox(options.sandbox));
  if (!found.state.detached) {
    return base::Fail(ErrorCode::kInvalid,
                      "sandbox {} is attached to whoever started it: only one that was started "
                      "with -d can be attached to (msb exec starts a further program)",
                      found.state.name);
  }
  const std::optional<agent::Exec>& program = found.state.program;
  if (!program || found.state.program_end) {
    return base::Fail(
        ErrorCode::kInvalid, "sandbox {} {}: msb exec {} -- PROGRAM starts one", found.state.name,
        program ? "goes on without its program, which has ended" : "has no program of its own",
        found.state.name);
  }
  agent::Attach attach;
  attach.id = program->id;
  attach.input = options.input;
  return RunIn(found, {.input = options.input, .terminal = program->pty.has_value(), .joins = true},
               std::move(attach));
}

}  // namespace

int RunExec(const ExecOptions& options) {
  const base::Result<int> code = Exec(options);
  return code ? *code : Complain(code.error().message(), kOwnFailure);
}

int RunAttach(const AttachOptions& options) {
  const base::Result<int> code = Attach(options);
  return code ? *code : Complain(code.error().message(), kOwnFailure);
}

}  // namespace msb::cli
