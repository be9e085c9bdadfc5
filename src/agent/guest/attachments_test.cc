// One process and those who are attached to it: several at a time, leaving, and coming back.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/agent/guest/process.h"
#include "src/agent/guest/testing.h"

namespace msb::agent {
namespace {

// The numbers from 1 on, a line each: every byte of it has its place.
std::string Numbers(int last) {
  std::string text;
  for (int i = 1; i <= last; ++i) text += std::to_string(i) + "\n";
  return text;
}

class AttachmentsTest : public ServerTest {
 protected:
  void SetUp() override { Configure(); }

  static Exec Kept(const char* script, OutputPolicy output = OutputPolicy::kBlock) {
    Exec exec = Shell(script);
    exec.unattached = WhenUnattached::kKeep;
    exec.output = output;
    return exec;
  }

  // All that can happen without anybody doing anything.
  void Settle() {
    while (loop->RunOnce(50).value()) {
    }
  }

  // Only the control stream is left.
  [[nodiscard]] bool AllHaveLeft() {
    return RunUntil([&] { return server->sessions() == 1; });
  }

  std::optional<Exited> WaitFor(const std::string& id, bool collect) {
    std::optional<Exited> exited;
    bool answered = false;
    control->SendWait({.id = id, .collect = collect}, [&](Answer<Exited> answer) {
      answered = true;
      if (answer) exited = *answer;
    });
    EXPECT_TRUE(RunUntil([&] { return answered; }));
    return exited;
  }
};

// --- output --------------------------------------------------------------------------------------

TEST_F(AttachmentsTest, WhatIsWrittenWhileNobodyIsAttachedIsKeptAndTheRestWaits) {
  const std::string expected = Numbers(400'000);
  Exec exec = Kept("seq 1 400000");
  exec.start = false;
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  run.reset();
  ASSERT_TRUE(AllHaveLeft());
  control->SendStart({.id = exec.id}, [](Answer<void>) {});
  Settle();
  EXPECT_TRUE(server->AnyRunning()) << "its output does not fit into what is kept";
  run = Finish(Reattach({.id = exec.id, .offsets = {{kStdout, 0}}}));
  EXPECT_EQ(run->dropped, 0u);
  EXPECT_TRUE(run->out == expected);
}

TEST_F(AttachmentsTest, WhoComesBackGoesOnWhereItStopped) {
  const std::string expected = Numbers(600'000);
  const Exec exec = Kept("seq 1 600000");
  std::string seen;
  auto run = Begin(exec);
  for (;;) {
    // Some of it, wherever that ends; the last word too if it comes.
    ASSERT_TRUE(RunUntil([&] { return run->out.size() > 400'000 || run->over(); }));
    seen += run->out;
    EXPECT_EQ(run->dropped, 0u);
    if (run->over()) break;
    run = Reattach({.id = exec.id, .offsets = {{kStdout, seen.size()}}});
  }
  EXPECT_TRUE(seen == expected);
}

TEST_F(AttachmentsTest, AnOffsetThatIsKeptNoMoreIsAnsweredWithAMarkerAndTheRest) {
  const std::string expected = Numbers(400'000);
  const Exec exec = Kept("seq 1 400000");
  ASSERT_TRUE(Execute(exec)->out == expected);
  auto late = Finish(Reattach({.id = exec.id, .offsets = {{kStdout, 10}}}));
  ASSERT_TRUE(late->started);
  EXPECT_GT(late->dropped, 0u);
  EXPECT_LE(late->out.size(), kRingBytes);
  EXPECT_GE(late->out.size(), kRingBytes / 2);
  EXPECT_EQ(10 + late->dropped + late->out.size(), expected.size());
  EXPECT_TRUE(expected.ends_with(late->out));
}

TEST_F(AttachmentsTest, AnOffsetThatHasNotBeenReachedMeansTheEnd) {
  Exec exec = Kept("echo one; read x; echo two");
  exec.stdin_mode = StdinMode::kStream;
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->out == "one\n"; }));
  auto ahead =
      Reattach({.id = exec.id,
                .offsets = {{kStdout, uint64_t{1} << 60}, {kStderr, 7}, {99, 1}, {kStdin, 1}}});
  ASSERT_TRUE(RunUntil([&] { return ahead->started.has_value(); }));
  ASSERT_EQ(ahead->started->offsets.size(), 2u);
  EXPECT_EQ(ahead->started->offsets[0].offset, 4u);
  EXPECT_EQ(ahead->started->offsets[1].offset, 0u);
  run->attachment->WriteStdin("\n");
  EXPECT_EQ(Finish(std::move(ahead))->out, "two\n");
}

TEST_F(AttachmentsTest, WithDropOldestASlowReaderStopsNobodyAndHearsWhereItMissedWhat) {
  const std::string expected = Numbers(1'000'000);
  Program slow;
  size_t at = 0;
  auto callbacks = slow.Callbacks();
  callbacks.on_stdout = [&](std::string_view data) {
    EXPECT_EQ(expected.compare(at, data.size(), data), 0) << "at " << at;
    at += data.size();
  };
  callbacks.on_dropped = [&](unsigned stream, uint64_t bytes) {
    EXPECT_EQ(stream, kStdout);
    slow.dropped += bytes;
    at += bytes;
  };
  const Exec exec = Kept("seq 1 1000000", OutputPolicy::kDropOldest);
  slow.attachment = Attachment::Execute(*loop, Connect(), exec, callbacks).value();
  ASSERT_TRUE(RunUntil([&] { return at > 0; }));
  slow.attachment->PauseOutput();
  ASSERT_TRUE(WaitFor(exec.id, /*collect=*/false)) << "it ends in spite of who does not read";
  slow.attachment->ResumeOutput();
  ASSERT_TRUE(RunUntil([&] { return slow.over(); }));
  EXPECT_GT(slow.dropped, 0u);
  EXPECT_EQ(at, expected.size());
}

TEST_F(AttachmentsTest, EveryOneThatIsAttachedGetsEverything) {
  const std::string expected = Numbers(200'000);
  Exec exec = Kept("read x; seq 1 200000; exit 3");
  exec.stdin_mode = StdinMode::kStream;
  auto run = Begin(exec);
  std::vector<std::unique_ptr<Program>> others;
  for (int i = 0; i < 5; ++i) others.push_back(Reattach({.id = exec.id}));
  ASSERT_TRUE(RunUntil([&] { return others.back()->started.has_value(); }));
  run->attachment->WriteStdin("go\n");
  for (auto& other : others) {
    other = Finish(std::move(other));
    EXPECT_TRUE(other->out == expected);
    EXPECT_EQ(other->exited->ShellCode(), 3);
  }
}

TEST_F(AttachmentsTest, OneThatDoesNotReadStopsTheOthersUntilItLeaves) {
  const std::string expected = Numbers(1'000'000);
  Exec exec = Kept("read x; seq 1 1000000");
  exec.stdin_mode = StdinMode::kStream;
  auto reader = Begin(exec);
  auto deaf = Reattach({.id = exec.id});
  ASSERT_TRUE(RunUntil([&] { return deaf->started.has_value(); }));
  deaf->attachment->PauseOutput();
  reader->attachment->WriteStdin("go\n");
  Settle();
  EXPECT_FALSE(reader->over());
  EXPECT_LT(reader->out.size(), expected.size());
  deaf.reset();
  reader = Finish(std::move(reader));
  EXPECT_TRUE(reader->out == expected);
}

// --- coming and going ----------------------------------------------------------------------------

TEST_F(AttachmentsTest, AProcessThatIsNotKeptLivesUntilTheLastOneGoes) {
  const Exec exec = Shell("echo $$; exec sleep 1000");
  auto first = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return !first->out.empty(); }));
  auto second = Reattach({.id = exec.id});
  ASSERT_TRUE(RunUntil([&] { return second->started.has_value(); }));
  first.reset();
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 2; }));
  Settle();
  EXPECT_TRUE(server->AnyRunning());
  second.reset();
  EXPECT_TRUE(RunUntil([&] { return server->processes() == 0; }));
}

TEST_F(AttachmentsTest, AKeptProcessAndItsStatusOutliveEverybody) {
  const Exec exec = Kept("echo gone; exit 6");
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  run.reset();
  EXPECT_EQ(WaitFor(exec.id, /*collect=*/false)->ShellCode(), 6);
  run = Finish(Reattach({.id = exec.id}));
  EXPECT_EQ(run->out, "gone\n");
  EXPECT_EQ(run->exited->ShellCode(), 6);
  EXPECT_EQ(WaitFor(exec.id, /*collect=*/true)->ShellCode(), 6);
  run.reset();
  ASSERT_TRUE(RunUntil([&] { return server->processes() == 0; }));
  EXPECT_FALSE(WaitFor(exec.id, /*collect=*/true));
}

TEST_F(AttachmentsTest, AStatusThatNobodyWasThereToGetIsKept) {
  Exec exec = Kept("read x; exit 8");
  exec.stdin_mode = StdinMode::kStream;
  auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  auto impatient = Control::Create(*loop, Connect(), {}).value();
  bool pinged = false;
  impatient->SendWait({.id = exec.id, .collect = true}, [](Answer<Exited>) {});
  impatient->SendPing([&](Answer<void>) { pinged = true; });
  ASSERT_TRUE(RunUntil([&] { return pinged; }));
  impatient.reset();
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 2; }));
  run->attachment->WriteStdin("\n");
  run = Finish(std::move(run));
  run.reset();
  ASSERT_TRUE(AllHaveLeft());
  EXPECT_EQ(server->processes(), 1u);
  EXPECT_EQ(WaitFor(exec.id, /*collect=*/true)->ShellCode(), 8);
  EXPECT_TRUE(RunUntil([&] { return server->processes() == 0; }));
}

// --- input and terminal --------------------------------------------------------------------------

TEST_F(AttachmentsTest, TheInputIsHandedOnWithWhatTheProgramHasNotRead) {
  Exec exec = Kept("read x <&3; cat");
  exec.stdin_mode = StdinMode::kStream;
  exec.extra_streams = 1;
  auto first = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return first->started.has_value(); }));
  // More than a pipe takes: some of it waits in the agent.
  std::string sent = std::string(kInitialCredit, 'a');
  ASSERT_EQ(first->attachment->WriteStdin(sent), sent.size());
  ASSERT_TRUE(RunUntil([&] { return first->attachment->Writable(kStdin) >= 100'000; }));
  sent += std::string(100'000, 'b');
  ASSERT_EQ(first->attachment->WriteStdin(sent.substr(kInitialCredit)), 100'000u);
  first->attachment->Signal(SIGCONT);  // the data is there once this is answered
  Settle();
  first.reset();
  ASSERT_TRUE(AllHaveLeft());

  auto watcher = Reattach({.id = exec.id});
  auto second = Reattach({.id = exec.id, .input = true});
  ASSERT_TRUE(RunUntil([&] { return second->attachment->Writable(kStdin) >= 3; }));
  EXPECT_EQ(watcher->attachment->WriteStdin("no"), 0u);
  EXPECT_EQ(second->attachment->WriteStdin("end"), 3u);
  second->attachment->CloseStdin();
  second->attachment->Write(kFirstExtra, "go\n");
  second = Finish(std::move(second));
  EXPECT_TRUE(second->out == sent + "end");
  EXPECT_TRUE(Finish(std::move(watcher))->out == sent + "end");
}

TEST_F(AttachmentsTest, DataFromOneThatDoesNotHoldTheInputEndsItsConnectionOnly) {
  Exec exec = Kept("cat");
  exec.stdin_mode = StdinMode::kStream;
  auto holder = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return holder->started.has_value(); }));
  const base::UniqueFd raw = Connect();
  FrameQueue queue;
  queue.Append(FrameType::kHello, 0, "{}");
  queue.Append(FrameType::kRequest, 0,
               fmt::format(R"({{"seq":1,"attach":{{"id":"{}"}}}})", exec.id));
  queue.Append(FrameType::kData, kStdin, "intruder");
  ASSERT_TRUE(queue.Flush(raw.get()));
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 2; }));
  holder->attachment->WriteStdin("mine");
  holder->attachment->CloseStdin();
  EXPECT_EQ(Finish(std::move(holder))->out, "mine");
}

TEST_F(AttachmentsTest, EveryOneThatIsAttachedMaySetTheTerminalsSize) {
  Exec exec = Kept("while read x; do stty size; done");
  exec.pty = WindowSize{.columns = 80, .rows = 24};
  auto first = Begin(exec);
  auto second = Reattach({.id = exec.id});
  ASSERT_TRUE(RunUntil([&] { return first->started && second->started; }));
  second->attachment->Resize({.columns = 101, .rows = 31});
  bool resized = false;
  control->SendPing([&](Answer<void>) { resized = true; });
  ASSERT_TRUE(RunUntil([&] { return resized; }));
  Settle();
  first->attachment->WriteStdin("\n");
  ASSERT_TRUE(RunUntil([&] { return first->out.find("31 101\r\n") != std::string::npos; }));
  first->attachment->Resize({.columns = 102, .rows = 32});
  first->attachment->WriteStdin("\n");
  ASSERT_TRUE(RunUntil([&] { return second->out.find("32 102\r\n") != std::string::npos; }));
  // One that is not attached can, too, by the process's name.
  resized = false;
  control->SendResize({.id = exec.id, .size = {.columns = 103, .rows = 33}},
                      [&](Answer<void> answer) { resized = answer.has_value(); });
  ASSERT_TRUE(RunUntil([&] { return resized; }));
  first->attachment->WriteStdin("\n");
  ASSERT_TRUE(RunUntil([&] { return first->out.find("33 103\r\n") != std::string::npos; }));
}

// --- the table -----------------------------------------------------------------------------------

TEST_F(AttachmentsTest, TooManyUncollectedAreAnErrorThatSaysSoAndCollectingMakesRoom) {
  const Exec first = Kept("exit 2");
  ASSERT_TRUE(Execute(first)->exited);
  Exec created = Kept("true");
  created.start = false;
  while (server->processes() < kMaxProcesses) {
    created.id = NewProcessId();
    auto run = Begin(created);
    ASSERT_TRUE(RunUntil([&] { return run->started || run->over(); }));
    ASSERT_TRUE(run->started) << run->failed->message.data;
  }
  auto refused = Execute(Shell("true"));
  ASSERT_TRUE(refused->failed);
  EXPECT_EQ(refused->failed->code, FailureCode::kLimit);
  EXPECT_EQ(refused->failed->message.data, "4096 processes run or wait to be collected");
  ASSERT_TRUE(AllHaveLeft());
  ASSERT_TRUE(WaitFor(first.id, /*collect=*/true));
  ASSERT_TRUE(RunUntil([&] { return server->processes() < kMaxProcesses; }));
  EXPECT_TRUE(Execute(Shell("true"))->exited);
}

TEST_F(AttachmentsTest, AProcessWithLongArgumentsIsListedAndHidesNoOther) {
  std::vector<Exec> execs = {Kept("true"), Kept("true"), Kept("true"), Kept("true")};
  execs[1].argv.push_back(std::string(120'000, 'x'));
  execs[2].argv.push_back(std::string(30'000, '\xff'));
  for (const Exec& exec : execs) ASSERT_TRUE(Execute(exec)->exited);
  std::optional<Processes> list;
  control->SendListProcesses([&](Answer<Processes> answer) { list = *answer; });
  ASSERT_TRUE(RunUntil([&] { return list.has_value(); }));
  EXPECT_EQ(list->processes.size(), execs.size());
  EXPECT_FALSE(list->truncated);
}

TEST_F(AttachmentsTest, AListThatIsTooLongIsCutAndSaysSo) {
  Exec created = Kept("true");
  created.start = false;
  created.argv.push_back(std::string(1000, '\n'));
  for (int i = 0; i < 1000; ++i) {
    created.id = NewProcessId();
    auto run = Begin(created);
    ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  }
  std::optional<Processes> list;
  control->SendListProcesses([&](Answer<Processes> answer) { list = *answer; });
  ASSERT_TRUE(RunUntil([&] { return list.has_value(); }));
  EXPECT_TRUE(list->truncated);
  EXPECT_GT(list->processes.size(), 100u);
}

TEST_F(AttachmentsTest, ThousandsOfShortOnesLeaveNoMemory) {
  const auto bytes_in_use = [] { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; };
  const auto several = [&](int count) {
    for (int i = 0; i < count; ++i) {
      Exec exec = i % 2 == 0 ? Shell("echo x") : Kept("echo y");
      ASSERT_TRUE(Execute(exec)->exited);
      if (i % 2 != 0) {
        ASSERT_TRUE(WaitFor(exec.id, /*collect=*/true));
      }
    }
    ASSERT_TRUE(AllHaveLeft());
    ASSERT_TRUE(RunUntil([&] { return server->processes() == 0; }));
  };
  several(200);
  const size_t before = bytes_in_use();
  several(1000);
  EXPECT_LT(bytes_in_use(), before + 16 * 1024);
}

}  // namespace
}  // namespace msb::agent
