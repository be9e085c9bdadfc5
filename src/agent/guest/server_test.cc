// The agent's life: configure, requests on a control stream, shutdown.
#include "src/agent/guest/server.h"

#include <sys/socket.h>

#include "src/agent/guest/testing.h"

namespace msb::agent {
namespace {

using ServerLife = ServerTest;

TEST_F(ServerLife, APingIsAnsweredBeforeTheRootIsThere) {
  bool done = false;
  control->SendPing([&](Answer<void> answer) { done = answer.has_value(); });
  EXPECT_TRUE(RunUntil([&] { return done; }));
}

TEST_F(ServerLife, AnExecWaitsForTheRoot) {
  auto run = Begin(Command({"true"}));
  bool pinged = false;
  control->SendPing([&](Answer<void>) { pinged = true; });
  ASSERT_TRUE(RunUntil([&] { return pinged; }));
  EXPECT_FALSE(run->over());
  Configure();
  run = Finish(std::move(run));
  ASSERT_TRUE(run->exited);
  EXPECT_EQ(run->exited->ShellCode(), 0);
}

TEST_F(ServerLife, AFailedConfigureFailsWhatWaitedForIt) {
  auto run = Begin(Command({"true"}));
  std::optional<Failure> failure;
  control->SendConfigure({.hostname = "broken"},
                         [&](Answer<Configured> answer) { failure = answer.error(); });
  run = Finish(std::move(run));
  ASSERT_TRUE(run->failed);
  EXPECT_EQ(run->failed->code, FailureCode::kConfigure);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->message.data, "cannot mount /dev/vda");
}

TEST_F(ServerLife, ASecondConfigureIsRefused) {
  Configure();
  std::optional<Failure> failure;
  control->SendConfigure({}, [&](Answer<Configured> answer) { failure = answer.error(); });
  ASSERT_TRUE(RunUntil([&] { return failure.has_value(); }));
  EXPECT_EQ(failure->code, FailureCode::kInvalid);
  EXPECT_EQ(machine.configured, 1);
}

TEST_F(ServerLife, ProcessesAreListedUntilTheyAreCollected) {
  Configure();
  Exec exec = Shell("exit 3");
  exec.unattached = WhenUnattached::kKeep;
  auto run = Execute(exec);
  ASSERT_TRUE(run->exited);
  run.reset();

  std::optional<Processes> list;
  control->SendListProcesses([&](Answer<Processes> answer) { list = *answer; });
  ASSERT_TRUE(RunUntil([&] { return list.has_value(); }));
  ASSERT_EQ(list->processes.size(), 1u);
  EXPECT_EQ(list->processes[0].id, exec.id);
  ASSERT_TRUE(list->processes[0].exited);

  std::optional<Exited> exited;
  control->SendWait({.id = exec.id}, [&](Answer<Exited> answer) { exited = *answer; });
  ASSERT_TRUE(RunUntil([&] { return exited.has_value(); }));
  EXPECT_EQ(exited->ShellCode(), 3);
  ASSERT_TRUE(RunUntil([&] { return server->processes() == 0; }));

  std::optional<Failure> missing;
  control->SendWait({.id = exec.id}, [&](Answer<Exited> answer) { missing = answer.error(); });
  ASSERT_TRUE(RunUntil([&] { return missing.has_value(); }));
  EXPECT_EQ(missing->code, FailureCode::kNoSuchProcess);
}

TEST_F(ServerLife, AWaitIsAnsweredWhenTheProcessExits) {
  Configure();
  Exec exec = Command({"cat"});
  exec.stdin_mode = StdinMode::kStream;
  exec.unattached = WhenUnattached::kKeep;
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  std::optional<Exited> exited;
  control->SendWait({.id = exec.id, .collect = false},
                    [&](Answer<Exited> answer) { exited = *answer; });
  run->attachment->CloseStdin();
  ASSERT_TRUE(RunUntil([&] { return exited.has_value(); }));
  EXPECT_EQ(server->processes(), 1u);
}

TEST_F(ServerLife, AnUnknownContainerIsRefused) {
  Configure();
  base::UniqueFd raw = Connect();
  FrameQueue queue;
  queue.Append(FrameType::kHello, 0, "{}");
  queue.Append(FrameType::kRequest, 0, R"({"seq":1,"container":7,"ping":{}})");
  queue.Append(FrameType::kRequest, 0, R"({"seq":2,"a_later_request":{}})");
  queue.Append(FrameType::kRequest, 0, R"({"seq":3,"ping":{},"list_processes":{}})");
  ASSERT_TRUE(queue.Flush(raw.get()).has_value());
  std::string text;
  ASSERT_TRUE(RunUntil([&] {
    char buffer[4096];
    const ssize_t got = ::recv(raw.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) text.append(buffer, static_cast<size_t>(got));
    return text.find("\"seq\":3") != std::string::npos;
  }));
  EXPECT_NE(text.find("container 7"), std::string::npos);
  EXPECT_NE(text.find("does not know"), std::string::npos);
  EXPECT_NE(text.find("several requests"), std::string::npos);
}

TEST_F(ServerLife, AConnectionThatIsClosedLeavesNothing) {
  Configure();
  Connect();
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 1; }));
}

TEST_F(ServerLife, ABrokenFrameEndsOnlyItsConnection) {
  Configure();
  base::UniqueFd raw = Connect();
  ASSERT_TRUE(base::WriteFull(raw.get(), std::string_view("\xff\xff\xff\xff\x02", 5)).has_value());
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 1; }));
  EXPECT_EQ(Execute(Command({"true"}))->exited->ShellCode(), 0);
}

TEST_F(ServerLife, AHostOfAnotherVersionIsToldAndLetGo) {
  base::UniqueFd raw = Connect();
  FrameQueue queue;
  queue.Append(FrameType::kHello, 0, R"({"version":99,"oldest":98})");
  ASSERT_TRUE(queue.Flush(raw.get()).has_value());
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 1; }));
  std::string text = base::ReadToEnd(raw.get(), 4096).value();
  EXPECT_NE(text.find(R"("version":1)"), std::string::npos);
}

// --- shutdown

TEST_F(ServerLife, ShutdownSignalsThenKillsThenSettlesThenAnswers) {
  Configure();
  auto run = Begin(Shell("trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.01; done"));
  ASSERT_TRUE(RunUntil([&] { return run->out == "ready\n"; }));
  bool answered = false;
  control->SendShutdown({.grace_ms = 60'000}, [&](Answer<void>) { answered = true; });
  ASSERT_TRUE(RunUntil([&] { return machine.kills == 1 && run->over(); }));
  EXPECT_EQ(run->exited->ShellCode(), 9);
  EXPECT_EQ(run->out, "ready\nbye\n");
  EXPECT_EQ(machine.settled, 0);
  EXPECT_FALSE(answered);
  machine.kill_gone();
  ASSERT_TRUE(RunUntil([&] { return answered; }));
  EXPECT_EQ(machine.settled, 1);
  EXPECT_EQ(machine.powered_off, 0);
  control.reset();  // has its answer
  ASSERT_TRUE(RunUntil([&] { return machine.powered_off == 1; }));
}

TEST_F(ServerLife, ShutdownKillsWhatIgnoresTheSignalOnceTheGraceIsOver) {
  Configure();
  auto run = Begin(Shell("trap '' TERM; echo ready; while :; do sleep 0.01; done"));
  ASSERT_TRUE(RunUntil([&] { return run->out == "ready\n"; }));
  const pid_t pid = static_cast<pid_t>(run->started->pid);
  machine.on_kill = [&] { ::kill(-pid, SIGKILL); };
  control->SendShutdown({.grace_ms = 600'000}, {[](Answer<void>) {}});
  control->SendShutdown({.grace_ms = 1}, {[](Answer<void>) {}});  // a second one shortens
  run = Finish(std::move(run));
  EXPECT_EQ(run->exited->ShellCode(), 128 + SIGKILL);
}

TEST_F(ServerLife, NothingStartsDuringAShutdown) {
  Configure();
  control->SendShutdown({}, [](Answer<void>) {});
  ASSERT_TRUE(RunUntil([&] { return machine.kills == 1; }));
  auto run = Execute(Command({"true"}));
  ASSERT_TRUE(run->failed);
  EXPECT_EQ(run->failed->code, FailureCode::kBusy);
}

}  // namespace
}  // namespace msb::agent
