// A server without a machine, and hosts that talk to it, in one thread on one loop: what the tests
// of the guest's side share. The programs it runs are those of the machine the test runs on.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "src/agent/client/attachment.h"
#include "src/agent/client/control.h"
#include "src/agent/client/file_transfer.h"
#include "src/agent/guest/server.h"
#include "src/base/event_loop.h"
#include "src/base/sys.h"

namespace msb::agent {

class FakeMachine : public Machine {
 public:
  base::Status Configure(const agent::Configure& configure) override {
    ++configured;
    if (configure.hostname.data == "broken") {
      return base::Fail(base::ErrorCode::kSystem, "cannot mount /dev/vda");
    }
    return {};
  }
  int workload_cgroup() const override { return -1; }
  uint64_t OutOfMemoryKills() override { return oom_kills; }
  void KillWorkload(std::function<void()> gone) override {
    ++kills;
    kill_gone = std::move(gone);
    if (on_kill) on_kill();
  }
  base::Status SettleDisks() override {
    ++settled;
    return {};
  }
  void PowerOff() override { ++powered_off; }

  int configured = 0;
  int kills = 0;
  int settled = 0;
  int powered_off = 0;
  uint64_t oom_kills = 0;
  std::function<void()> kill_gone;
  std::function<void()> on_kill;
};

// What a process did, gathered.
struct Program {
  std::unique_ptr<Attachment> attachment;
  std::optional<Started> started;
  std::string out;
  std::string err;
  std::array<std::string, kMaxExtraStreams> extra;
  std::vector<unsigned> ends;
  uint64_t dropped = 0;
  std::optional<Exited> exited;
  std::optional<Failure> failed;
  bool over() const { return exited || failed; }

  Attachment::Callbacks Callbacks() {
    return {.on_started = [this](const Started& value) { started = value; },
            .on_stdout = [this](std::string_view data) { out += data; },
            .on_stderr = [this](std::string_view data) { err += data; },
            .on_extra = [this](unsigned stream,
                               std::string_view data) { extra[stream - kFirstExtra] += data; },
            .on_end = [this](unsigned stream) { ends.push_back(stream); },
            .on_dropped = [this](unsigned, uint64_t bytes) { dropped += bytes; },
            .on_writable = {},
            .on_exit = [this](const Exited& value) { exited = value; },
            .on_failed = [this](const Failure& value) { failed = value; }};
  }
};

class ServerTest : public testing::Test {
 protected:
  explicit ServerTest(const Server::Options& options = {}) {
    loop = base::EventLoop::Create().value();
    server = Server::Create(*loop, machine, options).value();
    control = Control::Create(*loop, Connect(), {}).value();
  }

  // The host's end of a new connection.
  base::UniqueFd Connect() {
    base::Pair pair = base::MakeSocketPair(base::SocketType::kStream).value();
    server->Accept(std::move(pair.first));
    return std::move(pair.second);
  }

  // Until it holds. A test that hangs fails here.
  [[nodiscard]] bool RunUntil(const std::function<bool()>& condition) {
    while (!condition()) {
      if (!loop->RunOnce(20'000).value()) return false;
    }
    return true;
  }

  void Configure() {
    bool done = false;
    control->SendConfigure({}, [&](Answer<Configured> answer) { done = answer.has_value(); });
    ASSERT_TRUE(RunUntil([&] { return done; }));
  }

  static Exec Command(std::vector<base::Bytes> argv) {
    Exec exec;
    exec.id = NewProcessId();
    exec.argv = std::move(argv);
    exec.env = {"PATH=/usr/bin:/bin"};
    return exec;
  }
  static Exec Shell(const char* script) { return Command({"sh", "-c", script}); }

  std::unique_ptr<Program> Begin(const Exec& exec) {
    auto run = std::make_unique<Program>();
    run->attachment = Attachment::Execute(*loop, Connect(), exec, run->Callbacks()).value();
    return run;
  }
  std::unique_ptr<Program> Finish(std::unique_ptr<Program> run) {
    EXPECT_TRUE(RunUntil([&] { return run->over(); }));
    return run;
  }
  std::unique_ptr<Program> Execute(const Exec& exec) { return Finish(Begin(exec)); }

  std::unique_ptr<Program> Reattach(const Attach& attach) {
    auto run = std::make_unique<Program>();
    run->attachment = Attachment::Reattach(*loop, Connect(), attach, run->Callbacks()).value();
    return run;
  }

  std::unique_ptr<base::EventLoop> loop;
  FakeMachine machine;
  std::unique_ptr<Server> server;
  std::unique_ptr<Control> control;
};

}  // namespace msb::agent
