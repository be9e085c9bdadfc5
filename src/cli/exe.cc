// msb exe: a program of an image in a temporary sandbox.
#include <fcntl.h>
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
#include "src/cli/values.h"
#include "src/image/disk.h"
#include "src/image/store.h"
#include "src/sandbox/launch.h"
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

base::Result<std::vector<base::Bytes>> ProgramOf(const ExeOptions& options,
                                                 const image::ImageConfig& config) {
  std::vector<base::Bytes> argv;
  if (!options.exec.empty()) {
    argv = {options.exec};
  } else {
    argv.assign(config.entrypoint.begin(), config.entrypoint.end());
    argv.insert(argv.end(), config.cmd.begin(), config.cmd.end());
    if (argv.empty()) argv = {"/bin/sh"};
  }
  argv.insert(argv.end(), options.arguments.begin(), options.arguments.end());
  return argv;
}

base::Result<agent::Exec> ExecOf(const ExeOptions& options, const image::ImageConfig& config) {
  agent::Exec exec;
  exec.id = agent::NewProcessId();
  exec.argv = TRY(ProgramOf(options, config));
  exec.env = MergeEnv({config.env.begin(), config.env.end()}, options.env);
  if (const char* term = std::getenv("TERM"); term != nullptr && HasTerminal(options)) {
    exec.env = MergeEnv({base::Bytes(fmt::format("TERM={}", term))}, exec.env);
  }
  const bool given = !options.workdir.empty();
  exec.cwd = given ? options.workdir : config.workdir;
  if (exec.cwd.empty()) exec.cwd = "/";
  exec.create_cwd = !given;
  exec.user = options.user.empty() ? config.user : options.user;
  if (options.detach) {
    // Whoever attaches later may type; until then a program that reads waits.
    exec.stdin_mode = agent::StdinMode::kStream;
    exec.hold_input = false;
    if (options.tty) exec.pty = agent::WindowSize{};
  }
  return exec;
}

// Descriptors in the order in which the monitor hands them on.
struct Launchable {
  sandbox::SandboxSpec spec;
  std::vector<base::UniqueFd> files;
};

base::Result<Launchable> Prepare(const ExeOptions& options, image::RunnableImage image,
                                 const std::string& home) {
  Launchable launch;
  sandbox::SandboxSpec& spec = launch.spec;
  spec.id = base::RandomHex(16);
  spec.name = options.name;
  spec.image = image.name;
  spec.memory_bytes = options.memory_bytes;
  if (!options.cpu_list.empty()) TRY(base::CheckUsable(options.cpu_list));
  spec.cpus = options.cpu_list;

  vmm::Disk root;
  for (image::ImagePart& part : image.parts) {
    vmm::DiskPart& out = root.parts.emplace_back();
    out.offset = part.offset;
    out.length = part.length;
    out.fd = static_cast<uint32_t>(launch.files.size());
    launch.files.push_back(std::move(part.fd));
  }
  spec.disks.push_back(std::move(root));

  vmm::Disk writable;
  writable.read_only = false;
  writable.durable = false;
  vmm::DiskPart& part = writable.parts.emplace_back();
  part.fd = static_cast<uint32_t>(launch.files.size());
  part.length = options.disk_bytes;
  launch.files.push_back(TRY(image::CreateUnnamedDisk(
      TRY(base::LibexecDirectory()), image::DiskKind::kTemporary, options.disk_bytes, home)));
  spec.disks.push_back(std::move(writable));

  spec.detached = options.detach;
  spec.lifetime_ms = options.lifetime_ms;
  spec.idle_ms = options.idle_ms;
  if (!image.config.stop_signal.empty()) {
    const auto signal = ParseSignal(image.config.stop_signal);
    if (signal) spec.stop_signal = *signal;
    if (!signal)
      LOG(kWarning, "the image's StopSignal is not usable: {}", signal.error().message());
  }
  spec.configure.lowers = {agent::Lower{}};
  spec.configure.upper = agent::Upper{.device = "/dev/vdb", .temporary = true};
  spec.configure.volumes.assign(image.config.volumes.begin(), image.config.volumes.end());
  return launch;
}

base::Result<std::unique_ptr<sandbox::Lease>> Launch(base::EventLoop& loop, Launchable launch,
                                                     sandbox::Lease::Callbacks callbacks) {
  std::vector<int> fds;
  for (const base::UniqueFd& file : launch.files) fds.push_back(file.get());
  callbacks.on_running = [](const sandbox::Running& running) {
    LOG(kDebug, "root set up in {} us, {} us after the guest kernel's start", running.configure_us,
        running.guest_uptime_us);
    Mark("guest ready");
  };
  callbacks.on_notice = [](const std::string& line) { LOG(kWarning, "{}", line); };
  Mark("starting the monitor");
  auto lease = TRY(sandbox::Lease::Start(loop, launch.spec, fds, std::move(callbacks)));
  loop.Defer(sandbox::SweepRunDirectories);  // while the guest boots
  // The files are closed here, so that the disk is gone with the sandbox.
  return lease;
}

base::Result<int> RunAttached(Launchable launch, agent::Exec exec) {
  auto session = TRY(Session::Create({.input = true, .terminal = IsInteractive(), .joins = false}));
  base::Pair stream = TRY(base::MakeSocketPair(base::SocketType::kStream));
  launch.spec.streams = {static_cast<uint32_t>(launch.files.size())};
  launch.files.push_back(std::move(stream.second));
  sandbox::Lease::Callbacks callbacks;
  callbacks.on_stopping = [&](sandbox::EndReason reason) { session->SandboxStopping(reason); };
  callbacks.on_ended = [&](const sandbox::Ended& ended) { session->SandboxEnded(ended); };
  const auto lease = TRY(Launch(session->loop(), std::move(launch), std::move(callbacks)));
  session->OnFinish([&] { lease->Stop(/*grace_ms=*/0); });
  return session->Run(std::move(stream.first), std::move(exec));
}

// Returns once the program was started; whoever is interrupted before lets go of the lease, and
// nothing stays.
base::Result<int> RunDetached(Launchable launch) {
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
  const auto lease = TRY(Launch(*loop, std::move(launch), std::move(callbacks)));
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
  if (options.cpus > 1) {
    LOG(kWarning, "engine uml has one virtual CPU: --cpus {} is taken as 1", options.cpus);
  }
  const std::string home = TRY(base::ResolveHome());
  const image::Store store = TRY(image::Store::Open(home));
  image::RunnableImage image = TRY(store.OpenForRun(options.image));
  MentionEngine(TRY(base::OpenHome(home, base::HomeMode::kMustExist)).get());

  agent::Exec exec = TRY(ExecOf(options, image.config));
  Launchable launch = TRY(Prepare(options, std::move(image), home));
  launch.spec.program = exec;
  if (options.detach) return RunDetached(std::move(launch));
  return RunAttached(std::move(launch), std::move(exec));
}

}  // namespace

int RunExe(const ExeOptions& options) {
  const base::Result<int> code = Exe(options);
  return code ? *code : Complain(code.error().message(), kOwnFailure);
}

}  // namespace msb::cli
