// Programs run by the agent, seen by the host: streams, exits, credit, terminals.
#include "src/agent/guest/process.h"

#include <fcntl.h>
#include <signal.h>

#include <sys/stat.h>
#include <unistd.h>
#include <cstdio>

#include <algorithm>

#include "src/agent/guest/testing.h"

namespace msb::agent {
namespace {

class ProcessTest : public ServerTest {
 protected:
  void SetUp() override { Configure(); }
};

TEST_F(ProcessTest, OutputAndExitCodeArrive) {
  auto run = Execute(Shell("echo out; echo err >&2; exit 7"));
  ASSERT_TRUE(run->exited);
  EXPECT_EQ(run->out, "out\n");
  EXPECT_EQ(run->err, "err\n");
  EXPECT_FALSE(run->exited->signaled);
  EXPECT_EQ(run->exited->ShellCode(), 7);
  EXPECT_EQ(run->ends.size(), 2u);
}

TEST_F(ProcessTest, ASignalIsReportedAsOne) {
  auto run = Execute(Shell("kill -TERM $$"));
  ASSERT_TRUE(run->exited);
  EXPECT_TRUE(run->exited->signaled);
  EXPECT_EQ(run->exited->ShellCode(), 128 + SIGTERM);
}

TEST_F(ProcessTest, AMissingProgramIs127AndNamesIt) {
  auto run = Execute(Command({"no-such-program"}));
  ASSERT_TRUE(run->failed);
  EXPECT_EQ(ExitCodeOf(run->failed->code), 127);
  EXPECT_NE(run->failed->message.data.find("no-such-program"), std::string::npos);
  EXPECT_EQ(server->processes(), 0u);
}

TEST_F(ProcessTest, AFileThatIsNoProgramIs126) {
  EXPECT_EQ(ExitCodeOf(Execute(Command({"/etc/passwd"}))->failed->code), 126);
  EXPECT_EQ(ExitCodeOf(Execute(Command({"/etc"}))->failed->code), 126);
}

TEST_F(ProcessTest, AnUnknownUserAndABadWorkdirAreNamed) {
  Exec exec = Command({"true"});
  exec.user = "nobody-of-that-name";
  auto run = Execute(exec);
  EXPECT_EQ(run->failed->code, FailureCode::kNoSuchUser);
  EXPECT_NE(run->failed->message.data.find("nobody-of-that-name"), std::string::npos);

  exec = Command({"true"});
  exec.cwd = "/no/such/place";
  run = Execute(exec);
  EXPECT_EQ(run->failed->code, FailureCode::kBadWorkdir);
  EXPECT_NE(run->failed->message.data.find("/no/such/place"), std::string::npos);
}

TEST_F(ProcessTest, ValuesThatCannotBeAreRefused) {
  Exec exec = Command({"true"});
  exec.id = "short";
  EXPECT_EQ(Execute(exec)->failed->code, FailureCode::kInvalid);
  exec = Command({});
  EXPECT_EQ(Execute(exec)->failed->code, FailureCode::kInvalid);
  exec = Command({"true", std::string("a\0b", 3)});
  EXPECT_EQ(Execute(exec)->failed->code, FailureCode::kInvalid);
  exec = Command({"true"});
  exec.env.push_back("NOT_AN_ASSIGNMENT");
  EXPECT_EQ(Execute(exec)->failed->code, FailureCode::kInvalid);
  exec = Command({"true"});
  exec.extra_streams = 5;
  EXPECT_EQ(Execute(exec)->failed->code, FailureCode::kLimit);
}

TEST_F(ProcessTest, AnIdIsUsedOnce) {
  Exec exec = Command({"true"});
  exec.unattached = WhenUnattached::kKeep;
  ASSERT_TRUE(Execute(exec)->exited);
  EXPECT_EQ(Execute(exec)->failed->code, FailureCode::kProcessExists);
}

TEST_F(ProcessTest, TheEnvironmentIsTheRequestsWithDefaultsAdded) {
  Exec exec = Shell("echo $A $HOSTNAME; env | grep -c ^A=; test -n \"$HOME\"");
  exec.env = {"A=1", "PATH=/usr/bin:/bin", "A=2"};
  auto run = Execute(exec);
  EXPECT_EQ(run->out, "2 sandbox\n1\n");
  EXPECT_EQ(run->exited->ShellCode(), 0);
}

TEST_F(ProcessTest, BytesThatAreNotUtf8ReachTheProgram) {
  auto run = Execute(Command({"printf", "%s", "\xff\xfe"}));
  EXPECT_EQ(run->out, "\xff\xfe");
}

TEST_F(ProcessTest, ItRunsInItsWorkingDirectoryWhichCanBeMade) {
  Exec exec = Command({"pwd"});
  exec.cwd = "/usr";
  EXPECT_EQ(Execute(exec)->out, "/usr\n");
  const std::string made = testing::TempDir() + "agent/made/" + NewProcessId();
  exec = Command({"pwd"});
  exec.cwd = made;
  exec.create_cwd = true;
  EXPECT_EQ(Execute(exec)->out, made + "\n");
}

TEST_F(ProcessTest, WithoutInputItReadsAnEmptyStdin) {
  EXPECT_EQ(Execute(Command({"cat"}))->exited->ShellCode(), 0);
}

TEST_F(ProcessTest, InputSentBeforeTheStartArrives) {
  Exec exec = Command({"cat"});
  exec.stdin_mode = StdinMode::kStream;
  auto run = Begin(exec);
  EXPECT_EQ(run->attachment->WriteStdin("hello"), 5u);
  run->attachment->CloseStdin();
  run = Finish(std::move(run));
  EXPECT_EQ(run->out, "hello");
}

TEST_F(ProcessTest, MuchInputComesBackWhole) {
  std::string data(5 * 1024 * 1024 + 17, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 2654435761u >> 24);
  Exec exec = Command({"cat"});
  exec.stdin_mode = StdinMode::kStream;
  Program run;
  size_t at = 0;
  auto callbacks = run.Callbacks();
  callbacks.on_writable = [&](unsigned) {
    at += run.attachment->WriteStdin(std::string_view(data).substr(at));
    if (at == data.size()) run.attachment->CloseStdin();
  };
  run.attachment = Attachment::Execute(*loop, Connect(), exec, callbacks).value();
  at = run.attachment->WriteStdin(data);
  EXPECT_EQ(at, kInitialCredit);
  ASSERT_TRUE(RunUntil([&] { return run.over(); }));
  EXPECT_TRUE(run.out == data);
}

TEST_F(ProcessTest, SignalsAndResizesPassInputThatIsNotRead) {
  Exec exec = Shell("trap 'echo got; exit 0' USR1; echo ready; while :; do sleep 0.01; done");
  exec.stdin_mode = StdinMode::kStream;
  Program run;
  auto callbacks = run.Callbacks();
  callbacks.on_writable = [&](unsigned) { run.attachment->WriteStdin(std::string(1 << 20, 'x')); };
  run.attachment = Attachment::Execute(*loop, Connect(), exec, callbacks).value();
  run.attachment->WriteStdin(std::string(1 << 20, 'x'));
  ASSERT_TRUE(RunUntil([&] { return run.out == "ready\n"; }));
  run.attachment->Signal(SIGUSR1);
  ASSERT_TRUE(RunUntil([&] { return run.over(); }));
  EXPECT_EQ(run.out, "ready\ngot\n");
}

TEST_F(ProcessTest, AProgramThatClosesItsStdinDoesNotStopTheSender) {
  Exec exec = Shell("exec <&-; echo ready; read line <&3; echo $line");
  exec.stdin_mode = StdinMode::kStream;
  exec.extra_streams = 1;
  Program run;
  auto callbacks = run.Callbacks();
  size_t sent = 0;
  callbacks.on_writable = [&](unsigned stream) {
    if (stream != kStdin) return;
    if (sent < (4u << 20)) {
      sent += run.attachment->WriteStdin(std::string(64 * 1024, 'x'));
    } else {
      run.attachment->Write(kFirstExtra, "done\n");
    }
  };
  run.attachment = Attachment::Execute(*loop, Connect(), exec, callbacks).value();
  ASSERT_TRUE(RunUntil([&] { return run.out == "ready\n"; }));
  while (run.attachment->Writable(kStdin) > 0) {
    sent += run.attachment->WriteStdin(std::string(64 * 1024, 'x'));
  }
  ASSERT_TRUE(RunUntil([&] { return run.over(); }));
  EXPECT_EQ(run.out, "ready\ndone\n");
}

TEST_F(ProcessTest, ExtraStreamsCarryBytesBothWays) {
  Exec exec = Shell("cat <&3 >&4; echo five >&5");
  exec.extra_streams = 3;
  auto run = Begin(exec);
  run->attachment->Write(kFirstExtra, "through");
  run->attachment->CloseInput(kFirstExtra);
  run = Finish(std::move(run));
  EXPECT_EQ(run->exited->ShellCode(), 0);
  EXPECT_EQ(run->extra[1], "through");
  EXPECT_EQ(run->extra[2], "five\n");
}

TEST_F(ProcessTest, ManyBytesOfOutputArriveInOrder) {
  auto run = Execute(Shell("seq 1 400000"));
  std::string expected;
  for (int i = 1; i <= 400000; ++i) expected += std::to_string(i) + "\n";
  EXPECT_TRUE(run->out == expected);
}

TEST_F(ProcessTest, AHostThatDoesNotReadStopsTheProgram) {
  auto run = Begin(Shell("head -c 8000000 /dev/zero; echo end >&2"));
  ASSERT_TRUE(RunUntil([&] { return !run->out.empty(); }));
  run->attachment->PauseOutput();
  // Nothing more can happen: the ring, the pipe and the socket are full.
  while (loop->RunOnce(50).value()) {
  }
  EXPECT_EQ(run->err, "");
  EXPECT_FALSE(run->over());
  EXPECT_LT(run->out.size(), 8000000u);
  run->attachment->ResumeOutput();
  run = Finish(std::move(run));
  EXPECT_EQ(run->out.size(), 8000000u);
  EXPECT_EQ(run->err, "end\n");
}

TEST_F(ProcessTest, TheExitFollowsAllOutput) {
  for (int i = 0; i < 20; ++i) {
    auto run = Execute(Shell("head -c 200000 /dev/zero"));
    ASSERT_TRUE(run->exited);
    EXPECT_EQ(run->out.size(), 200000u);
  }
}

TEST_F(ProcessTest, ABackgroundChildDoesNotDelayTheExit) {
  auto run = Execute(Shell("sleep 1000 & echo $!"));
  ASSERT_TRUE(run->exited);
  EXPECT_EQ(run->exited->ShellCode(), 0);
  ::kill(std::stoi(run->out), SIGKILL);
}

TEST_F(ProcessTest, AProgramThatHasClosedItsOutputsLeavesTheLoopAtRest) {
  auto run = Begin(Shell("exec >&- 2>&-; exec sleep 1000"));
  ASSERT_TRUE(RunUntil([&] { return run->ends.size() == 2; }));
  int rounds = 0;
  while (rounds < 100 && loop->RunOnce(0).value()) ++rounds;
  EXPECT_LT(rounds, 100);
}

TEST_F(ProcessTest, TheProcessDiesWithItsLastAttachment) {
  auto run = Begin(Shell("echo $$; exec sleep 1000"));
  ASSERT_TRUE(RunUntil([&] { return !run->out.empty(); }));
  run.reset();
  EXPECT_TRUE(RunUntil([&] { return server->processes() == 0; }));
}

TEST_F(ProcessTest, AKeptProcessIsFoundAgainAtAnOffset) {
  Exec exec = Shell("echo one; read x; echo two; read x; exit 5");
  exec.stdin_mode = StdinMode::kStream;
  exec.unattached = WhenUnattached::kKeep;
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->out == "one\n"; }));
  run.reset();
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 1; }));

  auto again = Reattach({.id = exec.id, .offsets = {{kStdout, 2}}, .input = true});
  ASSERT_TRUE(RunUntil([&] { return again->out == "e\n"; }));
  EXPECT_EQ(Finish(Reattach({.id = exec.id, .input = true}))->failed->code, FailureCode::kBusy);
  auto watcher = Reattach({.id = exec.id});
  ASSERT_TRUE(RunUntil([&] { return again->attachment->WriteStdin("x\n") == 2; }));
  ASSERT_TRUE(RunUntil([&] { return again->out == "e\ntwo\n"; }));
  EXPECT_TRUE(RunUntil([&] { return watcher->out == "one\ntwo\n"; }));
  again->attachment->CloseStdin();
  again = Finish(std::move(again));
  EXPECT_EQ(again->exited->ShellCode(), 5);
  EXPECT_EQ(Finish(std::move(watcher))->exited->ShellCode(), 5);
}

TEST_F(ProcessTest, OldOutputIsDroppedAndCountedWhereThePolicySaysSo) {
  Exec exec = Shell("head -c 5000000 /dev/zero; echo last");
  exec.unattached = WhenUnattached::kKeep;
  exec.output = OutputPolicy::kDropOldest;
  exec.start = false;
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  run.reset();
  std::optional<Exited> exited;
  control->SendStart({.id = exec.id}, [](Answer<void>) {});
  control->SendWait({.id = exec.id, .collect = false},
                    [&](Answer<Exited> answer) { exited = *answer; });
  ASSERT_TRUE(RunUntil([&] { return exited.has_value(); }));

  auto late = Finish(Reattach({.id = exec.id, .offsets = {{kStdout, 0}}}));
  EXPECT_EQ(late->dropped + late->out.size(), 5000005u);
  EXPECT_LE(late->out.size(), kRingBytes);
  EXPECT_TRUE(late->out.ends_with("last\n"));
}

TEST_F(ProcessTest, CreatedIsNotStarted) {
  Exec exec = Shell("echo started");
  exec.start = false;
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  EXPECT_EQ(run->started->pid, 0u);
  EXPECT_EQ(run->out, "");
  run->attachment->Start();
  run = Finish(std::move(run));
  EXPECT_EQ(run->out, "started\n");
}

TEST_F(ProcessTest, ATerminalIsOneAndFollowsItsSize) {
  Exec exec = Shell("test -t 0 && test -t 1 && stty size; read x; stty size; echo $TERM");
  exec.pty = WindowSize{.columns = 100, .rows = 30};
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->out.find("30 100") != std::string::npos; }));
  run->attachment->Resize({.columns = 120, .rows = 40});
  run->attachment->WriteStdin("\n");
  run = Finish(std::move(run));
  EXPECT_NE(run->out.find("40 120"), std::string::npos);
  EXPECT_NE(run->out.find("xterm"), std::string::npos);
  EXPECT_EQ(run->exited->ShellCode(), 0);
}

TEST_F(ProcessTest, ControlCOnATerminalInterrupts) {
  Exec exec = Shell("echo ready; exec sleep 1000");
  exec.pty = WindowSize{};
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->out.find("ready") != std::string::npos; }));
  run->attachment->WriteStdin("\x03");
  run = Finish(std::move(run));
  EXPECT_EQ(run->exited->ShellCode(), 128 + SIGINT);
}

TEST_F(ProcessTest, AProgramMayCloseItsTerminalAndOpenItAgain) {
  Exec exec = Shell("exec <&- >&- 2>&-; echo closed >&3; read x <&3; echo again >/dev/tty; exit 4");
  exec.pty = WindowSize{};
  exec.extra_streams = 1;
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->extra[0] == "closed\n"; }));
  run->attachment->Write(kFirstExtra, "go on\n");
  run = Finish(std::move(run));
  EXPECT_EQ(run->exited->ShellCode(), 4);
  EXPECT_EQ(run->out, "again\r\n");
}

TEST_F(ProcessTest, TheEndOfInputReachesATerminalsReader) {
  Exec exec = Command({"cat"});
  exec.pty = WindowSize{};
  auto run = Begin(exec);
  run->attachment->CloseStdin();
  EXPECT_EQ(Finish(std::move(run))->exited->ShellCode(), 0);
}

TEST_F(ProcessTest, AllOutputOfATerminalPrecedesTheExit) {
  for (int i = 0; i < 20; ++i) {
    Exec exec = Shell("seq 1 3000");
    exec.pty = WindowSize{};
    auto run = Execute(exec);
    ASSERT_TRUE(run->out.ends_with("3000\r\n")) << run->out.size();
  }
}

TEST_F(ProcessTest, TheProgramInheritsNothingButItsStreams) {
  // Descriptors that whoever started this test left open are not ours.
  ASSERT_EQ(::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC), 0);
  auto run = Execute(Command({"ls", "/proc/self/fd"}));
  EXPECT_EQ(run->out, "0\n1\n2\n3\n");  // 3 is ls's own
}

TEST_F(ProcessTest, SignalsAreAtTheirDefaults) {
  // PID 1 begins with defaults; whoever runs this test may not (nohup, a build server).
  for (int signal = 1; signal < 32; ++signal) ::signal(signal, SIG_DFL);
  auto run = Execute(Command({"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"}));
  unsigned long blocked = 1, ignored = 1;
  ASSERT_EQ(std::sscanf(run->out.c_str(), "SigBlk: %lx SigIgn: %lx", &blocked, &ignored), 2);
  EXPECT_EQ(blocked, 0u);
  EXPECT_EQ(ignored & 0x7fffffff, 0u);  // real-time signals are the C library's to reset
}

TEST_F(ProcessTest, AKillForLackOfMemoryIsSaidToBeOne) {
  auto run = Begin(Shell("echo ready; exec sleep 1000"));
  ASSERT_TRUE(RunUntil([&] { return run->out == "ready\n"; }));
  machine.oom_kills = 1;
  run->attachment->Signal(SIGKILL);
  run = Finish(std::move(run));
  EXPECT_TRUE(run->exited->out_of_memory);
  run = Execute(Shell("kill -KILL $$"));
  EXPECT_FALSE(run->exited->out_of_memory);
}

TEST_F(ProcessTest, HundredsOfShortOnesLeaveNothing) {
  const auto descriptors = [] {
    return base::ListDirectory(base::OpenFile("/proc/self/fd", O_RDONLY).value().get())->size();
  };
  ASSERT_EQ(Execute(Command({"true"}))->exited->ShellCode(), 0);
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 1; }));
  const size_t before = descriptors();
  for (int i = 0; i < 500; ++i) ASSERT_EQ(Execute(Command({"true"}))->exited->ShellCode(), 0);
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 1 && server->processes() == 0; }));
  EXPECT_EQ(descriptors(), before);
}

TEST_F(ProcessTest, RootBecomesTheUserAndItsGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Exec exec = Shell("id -u; id -g; id -G");
  exec.user = "65534:12345";
  EXPECT_EQ(Execute(exec)->out, "65534\n12345\n12345\n");
}

}  // namespace
}  // namespace msb::agent
