// msb exe: a program of an image in a temporary sandbox.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"
#include "src/cli/session.h"
#include "src/cli/terminal.h"
#include "src/image/store.h"
#include "src/sandbox/environment.h"
#include "src/sandbox/further_program.h"
#include "src/sandbox/launch.h"
#include "src/sandbox/launch_plan.h"
#include "src/sandbox/run_directory.h"

namespace msb::cli {
namespace {

using base::ErrorCode;
using base::Fail;

// One line a boot, and only for a person: which engine `auto` took.
void MentionEngine(int home_fd) {
  if (::isatty(STDERR_FILENO) != 1) return;
  const auto boot = base::BootId();
  if (!boot) return;
  const auto seen = base::ReadFileAt(home_fd, "engine-seen", 64);
  if (seen && *seen == *boot) return;
  (void)base::WriteFull(STDERR_FILENO,
                        "msb: running with engine uml, which every x86-64 Linux machine can do "
                        "(kvm: not in this version; msb doctor)\n");
  (void)base::ReplaceFileAt(home_fd, "engine-seen", *boot, 0600, /*durable=*/false);
}

bool HasTerminal(const ExeOptions& options) {
  return options.detach ? options.tty : IsInteractive();
}

sandbox::ProgramDefaults DefaultsOf(const ExeOptions& options, const image::ImageConfig& config) {
  sandbox::ProgramDefaults defaults = sandbox::DefaultsOf(
      config, {.env = options.env, .workdir = options.workdir, .user = options.user});
  if (const char* term = std::getenv("TERM"); term != nullptr && HasTerminal(options)) {
    defaults.env = sandbox::MergeEnv({base::Bytes(fmt::format("TERM={}", term))}, defaults.env);
  }
  return defaults;
}

agent::Exec ProgramOf(const ExeOptions& options, const image::ImageConfig& config,
                      const sandbox::ProgramDefaults& defaults) {
  agent::Exec exec =
      sandbox::ExecOf(defaults, {.argv = sandbox::ArgvOf(config, options.exec, options.arguments),
                                 .env = {},
                                 .workdir = {},
                                 .user = {}});
  if (options.detach) {
    // Whoever attaches later may type; until then a program that reads waits.
    exec.stdin_mode = agent::StdinMode::kStream;
    exec.hold_input = false;
    if (options.tty) exec.pty = agent::WindowSize{};
  }
  return exec;
}

sandbox::LaunchOptions LaunchOptionsOf(const ExeOptions& options) {
  return {.name = options.name,
          .memory_bytes = options.memory_bytes,
          .disk_bytes = options.disk_bytes,
          .cpus = options.cpu_list,
          .detached = options.detach,
          .lifetime_ms = options.lifetime_ms,
          .idle_ms = options.idle_ms};
}

base::Result<std::unique_ptr<sandbox::Lease>> Launch(base::EventLoop& loop,
                                                     sandbox::LaunchPlan plan,
                                                     sandbox::Lease::Callbacks callbacks) {
  callbacks.on_running = [](const sandbox::Running& running) {
    LOG(kDebug, "root set up in {} us, {} us after the guest kernel's start", running.configure_us,
        running.guest_uptime_us);
    Mark("guest ready");
  };
  callbacks.on_notice = [](const std::string& line) { LOG(kWarning, "{}", line); };
  Mark("starting the monitor");
  auto lease = TRY(sandbox::Lease::Start(loop, plan.spec, plan.fds(), std::move(callbacks)));
  loop.Defer(sandbox::SweepRunDirectories);  // while the guest boots
  // The files are closed here, so that the disk is gone with the sandbox.
  return lease;
}

base::Result<int> RunAttached(sandbox::LaunchPlan plan, agent::Exec exec) {
  auto session = TRY(Session::Create({.input = true, .terminal = IsInteractive(), .joins = false}));
  base::Pair stream = TRY(base::MakeSocketPair(base::SocketType::kStream));
  plan.spec.streams = {plan.Add(std::move(stream.second))};
  sandbox::Lease::Callbacks callbacks;
  callbacks.on_stopping = [&](sandbox::EndReason reason) { session->SandboxStopping(reason); };
  callbacks.on_ended = [&](const sandbox::Ended& ended) { session->SandboxEnded(ended); };
  const auto lease = TRY(Launch(session->loop(), std::move(plan), std::move(callbacks)));
  session->OnFinish([&] { lease->Stop(/*grace_ms=*/0); });
  return session->Run(std::move(stream.first), std::move(exec));
}

// Returns once the program was started; whoever is interrupted before lets go of the lease, and
// nothing stays.
base::Result<int> RunDetached(sandbox::LaunchPlan plan) {
  auto loop = TRY(base::EventLoop::Create());
  int code = kOwnFailure;
  sandbox::Lease::Callbacks callbacks;
  callbacks.on_program_started = [&](const sandbox::ProgramStarted& started) {
    code = 0;
    std::puts(started.name.c_str());
    loop->Stop();
  };
  callbacks.on_ended = [&](const sandbox::Ended& ended) {
    PrintEnd(ended);
    code = ended.exit_code;
    loop->Stop();
  };
  const auto lease = TRY(Launch(*loop, std::move(plan), std::move(callbacks)));
  TRY(loop->Run());
  return code;
}

base::Result<int> Exe(const ExeOptions& options) {
  if (options.engine == Engine::kKvm) {
    return Fail(ErrorCode::kUnsupported,
                "engine kvm is not in this version: use --engine uml, or leave it out");
  }
  if (options.idle_ms && !options.detach) {
    LOG(kWarning, "--idle ends a sandbox that nobody uses: this command uses it until it ends");
  }
  if (const auto warning = sandbox::CpuWarning(options.cpus, "--cpus")) {
    LOG(kWarning, "{}", *warning);
  }
  const std::string home = TRY(base::ResolveHome());
  const image::Store store = TRY(image::Store::Open(home));
  image::RunnableImage image = TRY(store.OpenForRun(options.image));
  MentionEngine(TRY(base::OpenHome(home, base::HomeMode::kMustExist)).get());

  sandbox::ProgramDefaults defaults = DefaultsOf(options, image.config);
  agent::Exec exec = ProgramOf(options, image.config, defaults);
  sandbox::LaunchPlan plan =
      TRY(sandbox::PlanLaunch(std::move(image), LaunchOptionsOf(options), home));
  plan.spec.defaults = std::move(defaults);
  plan.spec.program = exec;
  if (options.detach) return RunDetached(std::move(plan));
  return RunAttached(std::move(plan), std::move(exec));
}

}  // namespace

int RunExe(const ExeOptions& options) {
  const base::Result<int> code = Exe(options);
  return code ? *code : Complain(code.error().message(), kOwnFailure);
}

}  // namespace msb::cli
