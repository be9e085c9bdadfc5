// sandbox_driver: what a server does with src/sandbox and no command of msb does, for the system
// tests.
//
//   sandbox_driver start JSON    a detached sandbox (StartRequest); prints its name once it is
//                                ready, and leaves it alone
//   sandbox_driver watch JSON    connects (WatchRequest), and prints how the sandbox ends
//   sandbox_driver limits JSON   sets limits (LimitsRequest), and prints what is in force
//   sandbox_driver usage NAME    prints what it takes of the host
//   sandbox_driver changes JSON  watches a directory in it (ChangesRequest), prints "watching" and
//                                each change as JSON, until the directory is gone
//
// Exit code 1 and a line on standard error where it fails.
#include <signal.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>

#include "src/agent/client/directory_watch.h"
#include "src/base/event_loop.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/image/store.h"
#include "src/sandbox/client.h"
#include "src/sandbox/further_program.h"
#include "src/sandbox/launch.h"
#include "src/sandbox/launch_plan.h"
#include "src/sandbox/usage.h"

namespace msb::sandbox {
namespace {

struct StartRequest {
  std::string image;
  std::string name;
  std::vector<base::Bytes> program;  // empty: none
  bool ends_with_program = true;
  bool input = false;  // for whoever attaches
  std::vector<base::Bytes> env;
  std::string disk;  // its directory; empty: a temporary one
  bool reset = false;
  std::optional<uint64_t> lifetime_ms;
  std::optional<uint64_t> idle_ms;
};
BOOST_DESCRIBE_STRUCT(StartRequest, (),
                      (image, name, program, ends_with_program, input, env, disk, reset,
                       lifetime_ms, idle_ms))

base::Result<LaunchPlan> Plan(const StartRequest& request) {
  const std::string home = TRY(base::ResolveHome());
  const image::Store store = TRY(image::Store::Open(home));
  image::RunnableImage image = TRY(store.OpenForRun(request.image));
  LaunchOptions options;
  options.name = request.name;
  options.memory_bytes = 128 << 20;
  options.detached = true;
  options.lifetime_ms = request.lifetime_ms;
  options.idle_ms = request.idle_ms;
  const ProgramDefaults defaults =
      DefaultsOf(image.config, {.env = request.env, .workdir = {}, .user = {}});
  std::optional<PersistentDisk> disk;
  if (!request.disk.empty()) {
    constexpr uint64_t kDiskBytes = 256 << 20;
    disk = TRY(request.reset ? ResetPersistentDisk(request.disk, image, kDiskBytes)
                             : OpenPersistentDisk(request.disk, image, kDiskBytes));
  }
  LaunchPlan plan = TRY(PlanLaunch(std::move(image), options, home, std::move(disk)));
  plan.spec.defaults = defaults;
  plan.spec.ends_with_program = request.ends_with_program;
  if (!request.program.empty()) {
    plan.spec.program =
        ExecOf(defaults, {.argv = request.program, .env = {}, .workdir = {}, .user = {}});
    plan.spec.program->hold_input = false;
    if (request.input) plan.spec.program->stdin_mode = agent::StdinMode::kStream;
  }
  return plan;
}

base::Status Start(const std::string& json) {
  LaunchPlan plan = TRY(Plan(TRY(base::json::Parse<StartRequest>(json))));
  const auto loop = TRY(base::EventLoop::Create());
  base::Status result;
  Lease::Callbacks callbacks;
  callbacks.on_program_started = [&](const ProgramStarted& started) {
    std::puts(started.name.c_str());
    loop->Stop();
  };
  callbacks.on_ended = [&](const Ended& ended) {
    result = base::Fail(base::ErrorCode::kSystem, "{}", ended.message);
    loop->Stop();
  };
  const auto lease = TRY(Lease::Start(*loop, plan.spec, plan.fds(), std::move(callbacks)));
  plan.files.clear();
  TRY(loop->Run());
  return result;
}

struct ChangesRequest {
  std::string name;
  agent::WatchFiles watch;
};
BOOST_DESCRIBE_STRUCT(ChangesRequest, (), (name, watch))

base::Status PrintChanges(const std::string& json) {
  const ChangesRequest request = TRY(base::json::Parse<ChangesRequest>(json));
  const auto loop = TRY(base::EventLoop::Create());
  const auto client = TRY(Client::Connect(*loop, request.name, {}));
  const auto print = [](const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
  };
  agent::DirectoryWatch::Callbacks callbacks;
  callbacks.on_watching = [&](const agent::FileStatus&) { print("watching"); };
  callbacks.on_changes = [&](std::span<const agent::FileChange> changes) {
    for (const agent::FileChange& change : changes) print(base::json::Write(change));
  };
  callbacks.on_failed = [&](const agent::Failure& failure) {
    print(failure.message.data);
    loop->Stop();
  };
  const auto watch = TRY(agent::DirectoryWatch::Begin(*loop, TRY(client->ConnectAgent()),
                                                      request.watch, std::move(callbacks)));
  return loop->Run();
}

struct WatchRequest {
  std::string name;
  bool in_use = true;
};
BOOST_DESCRIBE_STRUCT(WatchRequest, (), (name, in_use))

base::Status PrintUsage(const std::string& name) {
  const FoundSandbox found = TRY(FindSandbox(name));
  const auto usage = ReadUsage(found.state);
  if (!usage) return base::Fail(base::ErrorCode::kClosed, "it has ended");
  std::printf("{\"cpu_us\":%llu,\"memory_bytes\":%llu,\"disk_bytes\":%lld}\n",
              static_cast<unsigned long long>(usage->cpu_us),
              static_cast<unsigned long long>(usage->memory_bytes),
              usage->disk_bytes ? static_cast<long long>(*usage->disk_bytes) : -1LL);
  return {};
}

struct LimitsRequest {
  std::string name;
  SetLimits limits;
};
BOOST_DESCRIBE_STRUCT(LimitsRequest, (), (name, limits))

base::Status ChangeLimits(const std::string& json) {
  const LimitsRequest request = TRY(base::json::Parse<LimitsRequest>(json));
  const auto loop = TRY(base::EventLoop::Create());
  base::Status result;
  Client::Callbacks callbacks;
  callbacks.on_limits = [&](const Limits& limits) {
    std::puts(base::json::Write(limits).c_str());
    loop->Stop();
  };
  callbacks.on_failure = [&](const agent::Failure& failure) {
    result = base::Fail(base::ErrorCode::kSystem, "{}", failure.message.data);
    loop->Stop();
  };
  callbacks.on_ended = [&](const Ended& ended) {
    result = base::Fail(base::ErrorCode::kClosed, "{}", ended.message);
    loop->Stop();
  };
  const auto client = TRY(Client::Connect(*loop, request.name, std::move(callbacks)));
  TRY(client->SetLimits(request.limits));
  TRY(loop->Run());
  return result;
}

base::Status Watch(const std::string& json) {
  const WatchRequest request = TRY(base::json::Parse<WatchRequest>(json));
  const auto loop = TRY(base::EventLoop::Create());
  Client::Callbacks callbacks;
  callbacks.on_ended = [&](const Ended& ended) {
    std::puts(ended.message.c_str());
    loop->Stop();
  };
  const auto client = TRY(Client::Connect(*loop, request.name, std::move(callbacks)));
  if (!request.in_use) TRY(client->SetInUse(false));
  return loop->Run();
}

}  // namespace
}  // namespace msb::sandbox

int main(int argc, char** argv) {
  using namespace msb;
  base::ConfigureLog({.program = "sandbox_driver"});
  ::signal(SIGCHLD, SIG_IGN);  // leases are let go of
  const std::map<std::string, std::function<base::Status(const std::string&)>> commands = {
      {"start", sandbox::Start},
      {"watch", sandbox::Watch},
      {"limits", sandbox::ChangeLimits},
      {"usage", sandbox::PrintUsage},
      {"changes", sandbox::PrintChanges}};
  const auto command = argc == 3 ? commands.find(argv[1]) : commands.end();
  if (command == commands.end()) {
    std::fputs("usage: sandbox_driver COMMAND ARGUMENT\n", stderr);
    return 2;
  }
  const base::Status done = command->second(argv[2]);
  if (!done) std::fprintf(stderr, "%s\n", done.error().message().c_str());
  return done ? 0 : 1;
}
