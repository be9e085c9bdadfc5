// msb exec: a further program in a sandbox that runs. msb attach: the program of a detached one.
#include <cstdlib>

#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"
#include "src/cli/session.h"
#include "src/cli/terminal.h"
#include "src/sandbox/client.h"
#include "src/sandbox/environment.h"

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
       .on_ended = [&](const sandbox::Ended& ended) { session->SandboxEnded(ended); },
       .on_failure = [&](const agent::Failure& failure) { session->Fail(failure.message.data); }}));
  // The sandbox ends with this program, and waits for us to have read all of it.
  if (style.joins) session->OnExited([&] { (void)client->SayReceived(); });
  return session->Run(TRY(client->ConnectAgent(style.joins)), std::move(request));
}

base::Result<int> Exec(const ExecOptions& options) {
  const sandbox::FoundSandbox found = TRY(sandbox::FindSandbox(options.sandbox));
  const agent::Exec& main = found.state.program;
  agent::Exec exec;
  exec.id = agent::NewProcessId();
  exec.argv.assign(options.arguments.begin(), options.arguments.end());
  exec.env = sandbox::MergeEnv(main.env, options.env);
  if (const char* term = std::getenv("TERM"); term != nullptr && options.tty) {
    exec.env = sandbox::MergeEnv({base::Bytes(fmt::format("TERM={}", term))}, exec.env);
  }
  exec.cwd = options.workdir.empty() ? main.cwd : base::Bytes(options.workdir);
  exec.create_cwd = options.workdir.empty() && main.create_cwd;
  exec.user = options.user.empty() ? main.user : base::Bytes(options.user);
  return RunIn(found, {.input = options.input, .terminal = options.tty, .joins = false},
               std::move(exec));
}

base::Result<int> Attach(const AttachOptions& options) {
  const sandbox::FoundSandbox found = TRY(sandbox::FindSandbox(options.sandbox));
  if (!found.state.detached) {
    return base::Fail(ErrorCode::kInvalid,
                      "sandbox {} is attached to whoever started it: only one that was started "
                      "with -d can be attached to (msb exec starts a further program)",
                      found.state.name);
  }
  agent::Attach attach;
  attach.id = found.state.program.id;
  attach.input = options.input;
  return RunIn(
      found,
      {.input = options.input, .terminal = found.state.program.pty.has_value(), .joins = true},
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
