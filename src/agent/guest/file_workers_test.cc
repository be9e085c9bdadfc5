// Requests about files that get stuck: what else goes on, and what becomes of them.
#include "src/agent/guest/file_workers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <memory>
#include <vector>

#include "src/agent/frame.h"
#include "src/agent/guest/testing_files.h"

namespace msb::agent {
namespace {

class StuckTest : public FilesTest {
 protected:
  explicit StuckTest(const Server::Options& options = {.mounts_path = "/dev/null",
                                                       .file_patience = std::chrono::minutes(10)})
      : FilesTest(options) {}
  void SetUp() override {
    FilesTest::SetUp();
    Make("/stuck", "content");
    Make("/fine", "content");
    Make("/script", "#!" + top + "/stuck\n");  // execve opens its interpreter
    ASSERT_EQ(::chmod((top + "/stuck").c_str(), 0755), 0);
    ASSERT_EQ(::chmod((top + "/script").c_str(), 0755), 0);
    // Whoever opens it waits until this descriptor is closed.
    guard_.Reset(::fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY));
    if (!guard_ || ::fanotify_mark(guard_.get(), FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD,
                                   (top + "/stuck").c_str()) < 0) {
      GTEST_SKIP() << "needs root, and a kernel with fanotify's permission events";
    }
  }
  void TearDown() override {
    guard_.Reset();
    FilesTest::TearDown();
  }

  struct Reading {
    Moved moved;
    std::unique_ptr<FileTransfer> transfer;
  };
  std::unique_ptr<Reading> BeginReading(const std::string& name) {
    auto reading = std::make_unique<Reading>();
    reading->transfer =
        FileTransfer::Read(*loop, Connect(), {.path = top + name}, Into(reading->moved)).value();
    return reading;
  }
  std::optional<FailureCode> Stat(const std::string& name) {
    return Ask([&](auto done) {
      control->SendStatFile({.path = top + name}, [done](Answer<FileStatus> answer) {
        if (answer) return done({});
        done(std::unexpected(answer.error()));
      });
    });
  }

  static pid_t YoungestChild() {
    std::string children = base::ReadFile("/proc/thread-self/children", 1 << 16).value();
    children.pop_back();  // a blank after each
    return std::stoi(children.substr(children.rfind(' ') + 1));
  }

  base::UniqueFd guard_;
};

TEST_F(StuckTest, WhatIsStuckKeepsNothingElseWaiting) {
  std::vector<std::unique_ptr<Reading>> stuck;
  for (int i = 0; i < 20; ++i) stuck.push_back(BeginReading("/stuck"));
  EXPECT_EQ(Stat("/fine"), std::nullopt);
  EXPECT_EQ(Read({.path = top + "/fine"}).data, "content");
  EXPECT_EQ(List(top).names, (std::vector<std::string>{"fine", "script", "stuck"}));
  EXPECT_EQ(Execute(Command({"true"}))->exited->ShellCode(), 0);
  for (const auto& reading : stuck) EXPECT_FALSE(reading->moved.over());
  guard_.Reset();
  ASSERT_TRUE(RunUntil([&] {
    return std::ranges::all_of(stuck, [](const auto& reading) { return reading->moved.over(); });
  }));
  for (const auto& reading : stuck) EXPECT_EQ(reading->moved.data, "content");
}

TEST_F(StuckTest, WhatTakesLongAndSaysSoKeepsNothingElseWaiting) {
  ASSERT_EQ(::mkdir((top + "/tree").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((top + "/tree/in").c_str(), 0755), 0);
  ASSERT_EQ(::fanotify_mark(guard_.get(), FAN_MARK_ADD, FAN_OPEN_PERM | FAN_ONDIR, AT_FDCWD,
                            (top + "/tree/in").c_str()),
            0);
  size_t over = 0;
  for (size_t i = 0; i < FileWorkers::kMaxQuick; ++i) {
    control->SendRemove({.path = top + "/tree", .recursive = true}, [&](auto) { ++over; });
  }
  EXPECT_EQ(Stat("/fine"), std::nullopt);
  EXPECT_EQ(over, 0u);
  guard_.Reset();
  EXPECT_TRUE(RunUntil([&] { return over == FileWorkers::kMaxQuick; }));
}

TEST_F(StuckTest, MoreThanCanBeStuckWaitAndAreDoneWhenSomeAreGone) {
  std::vector<std::unique_ptr<Reading>> stuck;
  for (size_t i = 0; i < 2 * FileWorkers::kMaxStuck; ++i) stuck.push_back(BeginReading("/stuck"));
  ASSERT_TRUE(RunUntil([&] { return server->file_workers() == FileWorkers::kMaxStuck; }));
  EXPECT_EQ(Execute(Command({"true"}))->exited->ShellCode(), 0);
  stuck.resize(FileWorkers::kMaxStuck);
  stuck.erase(stuck.begin());
  EXPECT_EQ(Stat("/fine"), std::nullopt);
}

TEST_F(StuckTest, WhatNobodyWaitsForAnyMoreIsKilled) {
  auto reading = BeginReading("/stuck");
  ASSERT_TRUE(RunUntil([&] { return server->file_workers() == 1; }));
  reading.reset();
  EXPECT_TRUE(RunUntil([&] { return server->file_workers() == 0; }));
}

TEST_F(StuckTest, AWorkerThatIsKilledFailsItsRequestAlone) {
  auto reading = BeginReading("/stuck");
  ASSERT_TRUE(RunUntil([&] { return server->file_workers() == 1; }));
  ASSERT_EQ(::kill(YoungestChild(), SIGKILL), 0);
  ASSERT_TRUE(RunUntil([&] { return reading->moved.over(); }));
  EXPECT_NE(reading->moved.failed->message.data.find("was killed"), std::string::npos);
  EXPECT_EQ(Stat("/fine"), std::nullopt);
}

TEST_F(StuckTest, TheEndOfTheSandboxEndsThemAllAndNoneIsStartedForThoseThatWaited) {
  std::vector<std::unique_ptr<Reading>> stuck;
  for (size_t i = 0; i < FileWorkers::kMaxStuck + 4; ++i) stuck.push_back(BeginReading("/stuck"));
  ASSERT_TRUE(RunUntil([&] { return server->file_workers() == FileWorkers::kMaxStuck; }));
  control->SendShutdown({}, [](Answer<void>) {});
  ASSERT_TRUE(RunUntil([&] {
    return std::ranges::all_of(stuck, [](const auto& reading) { return reading->moved.over(); });
  }));
  for (const auto& reading : stuck) EXPECT_EQ(reading->moved.failed->code, FailureCode::kBusy);
  EXPECT_EQ(machine.kills, 1);
  EXPECT_TRUE(RunUntil([&] { return server->file_workers() == 0; }));
}

TEST_F(StuckTest, AProgramThatIsStuckInItsExecutionKeepsNothingElseWaiting) {
  const auto stuck = Begin(Command({top + "/script"}));
  const auto given_up = Begin(Command({top + "/script"}));
  ASSERT_TRUE(RunUntil([&] { return server->processes() == 2; }));
  EXPECT_EQ(Execute(Command({"true"}))->exited->ShellCode(), 0);
  given_up->attachment.reset();
  ASSERT_TRUE(RunUntil([&] { return server->processes() == 1; }));
  EXPECT_FALSE(stuck->started || stuck->over());
  guard_.Reset();
  ASSERT_TRUE(RunUntil([&] { return stuck->over(); }));
  EXPECT_EQ(stuck->failed->code, FailureCode::kNotExecutable);  // its interpreter is no program
  EXPECT_TRUE(RunUntil([&] { return server->processes() == 0; }));
}

TEST_F(StuckTest, ACreatedProgramThatIsStuckInItsExecutionHasItsStartAnsweredLater) {
  Exec exec = Command({top + "/script"});
  exec.start = false;
  const auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  std::optional<Answer<void>> started;
  std::optional<Answer<Exited>> exited;
  std::optional<Answer<void>> again;
  control->SendWait({.id = exec.id}, [&](Answer<Exited> answer) { exited = std::move(answer); });
  control->SendStart({.id = exec.id}, [&](Answer<void> answer) { started = std::move(answer); });
  control->SendStart({.id = exec.id}, [&](Answer<void> answer) { again = std::move(answer); });
  ASSERT_TRUE(RunUntil([&] { return again.has_value(); }));
  EXPECT_EQ(again->error().code, FailureCode::kInvalid);
  EXPECT_FALSE(started || exited);
  guard_.Reset();
  ASSERT_TRUE(RunUntil([&] { return started && exited; }));
  EXPECT_EQ(started->error().code, FailureCode::kNotExecutable);
  EXPECT_EQ(exited->error().code, FailureCode::kNotExecutable);
  // Whoever is attached learns it, and then the process is gone.
  EXPECT_TRUE(RunUntil([&] { return run->over() && server->processes() == 0; }));
}

TEST_F(StuckTest, AHostThatIsGoneBeforeItsProgramIsStuckLeavesNone) {
  FrameQueue queue;
  base::UniqueFd connection = Connect();
  queue.Append(FrameType::kHello, 0, R"({"version":1,"oldest":1})");
  ASSERT_TRUE(queue.Flush(connection.get()).has_value());
  char byte;
  ASSERT_TRUE(RunUntil([&] { return ::recv(connection.get(), &byte, 1, MSG_DONTWAIT) == 1; }));
  queue.Append(
      FrameType::kRequest, 0,
      fmt::format(R"({{"seq":1,"exec":{{"id":"{}","argv":["{}/script"]}}}})", NewProcessId(), top));
  ASSERT_TRUE(queue.Flush(connection.get()).has_value());
  ASSERT_TRUE(queue.empty());
  connection.Reset();
  ASSERT_TRUE(RunUntil([&] { return server->sessions() == 1; }));  // the control's
  EXPECT_TRUE(RunUntil([&] { return server->processes() == 0; }));
}

TEST_F(StuckTest, AProcessThatIsReapedIsOverWhoeverHoldsItsPipes) {
  const auto run = Begin(Command({top + "/script"}));
  ASSERT_TRUE(RunUntil([&] { return server->processes() == 1; }));
  const std::string descriptors = fmt::format("/proc/{}/fd/", YoungestChild());
  std::vector<base::UniqueFd> held;
  for (int fd = 0; fd < 64; ++fd) {
    auto end = base::OpenFile(descriptors + std::to_string(fd), O_WRONLY | O_NONBLOCK);
    if (end) held.push_back(*std::move(end));
  }
  ASSERT_GE(held.size(), 3u);  // two outputs, and what says when it is over
  ASSERT_EQ(::kill(YoungestChild(), SIGKILL), 0);
  EXPECT_TRUE(RunUntil([&] { return run->over(); }));
}

TEST_F(StuckTest, AStartThatFailsIsWhatALaterWaitLearns) {
  Exec exec = Command({top + "/stuck"});  // no program, and not to be opened either
  exec.start = false;
  const auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return run->started.has_value(); }));
  std::optional<Answer<Exited>> exited;
  guard_.Reset();
  control->SendStart({.id = exec.id}, [&](Answer<void>) {
    control->SendWait({.id = exec.id}, [&](Answer<Exited> answer) { exited = std::move(answer); });
  });
  ASSERT_TRUE(RunUntil([&] { return exited.has_value(); }));
  EXPECT_FALSE(*exited);
}

TEST_F(StuckTest, ASignalReachesAProgramThatIsStuckInItsExecution) {
  Exec exec = Command({top + "/script"});
  const auto run = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return server->processes() == 1; }));
  control->SendSignal({.id = exec.id, .signal = SIGTERM, .group = true}, [](Answer<void>) {});
  ASSERT_TRUE(RunUntil([&] { return run->over(); }));
  EXPECT_EQ(run->exited->ShellCode(), 128 + SIGTERM);
}

class ImpatientTest : public StuckTest {
 protected:
  // What is mounted cannot be read, and so may be anything.
  ImpatientTest()
      : StuckTest({.mounts_path = "/nonexistent",
                   .file_patience = std::chrono::seconds(1),
                   .transfer_grace = std::chrono::milliseconds(50)}) {}
};

TEST_F(ImpatientTest, WhatIsStuckForTooLongFailsWithItsPath) {
  auto reading = BeginReading("/stuck");
  ASSERT_TRUE(RunUntil([&] { return reading->moved.over(); }));
  EXPECT_EQ(reading->moved.failed->code, FailureCode::kTimeout);
  EXPECT_NE(reading->moved.failed->message.data.find(top + "/stuck"), std::string::npos);
  EXPECT_TRUE(RunUntil([&] { return server->file_workers() == 0; }));
}

TEST_F(ImpatientTest, WhatWaitsForTheSameMountFailsWithIt) {
  std::vector<std::unique_ptr<Reading>> stuck;
  for (size_t i = 0; i < 10 * FileWorkers::kMaxStuckInMount; ++i) {
    stuck.push_back(BeginReading("/stuck"));
  }
  ASSERT_TRUE(RunUntil([&] {
    return std::ranges::all_of(stuck, [](const auto& reading) { return reading->moved.over(); });
  }));
  for (const auto& reading : stuck) {
    const FailureCode code = reading->moved.failed->code;  // had one, or waited for one
    EXPECT_TRUE(code == FailureCode::kTimeout || code == FailureCode::kBusy);
  }
  EXPECT_EQ(Stat("/fine"), std::nullopt);
}

TEST_F(ImpatientTest, WaitingForTheHostIsNotBeingStuck) {
  Make("/big", std::string(8 << 20, 'x'));
  auto reading = BeginReading("/big");
  ASSERT_TRUE(RunUntil([&] { return reading->moved.opened.has_value(); }));
  reading->transfer->Pause();
  auto stuck = BeginReading("/stuck");  // takes as long as our patience lasts
  ASSERT_TRUE(RunUntil([&] { return stuck->moved.over(); }));
  reading->transfer->Resume();
  ASSERT_TRUE(RunUntil([&] { return reading->moved.over(); }));
  EXPECT_EQ(reading->moved.data.size(), size_t{8} << 20);
}

TEST_F(ImpatientTest, WithTooManyOpenFilesOthersWaitAndSomeoneHasToEnd) {
  Make("/big", std::string(8 << 20, 'x'));
  std::vector<std::unique_ptr<Reading>> open;
  for (size_t i = 0; i < FileWorkers::kMaxWorkers; ++i) {
    open.push_back(BeginReading("/big"));
    ASSERT_TRUE(RunUntil([&] { return open.back()->moved.opened.has_value(); }));
    open.back()->transfer->Pause();
  }
  auto more = BeginReading("/fine");
  ASSERT_TRUE(RunUntil([&] { return more->moved.over(); }));
  EXPECT_EQ(more->moved.failed->code, FailureCode::kBusy);
  more = BeginReading("/fine");
  open.pop_back();
  ASSERT_TRUE(RunUntil([&] { return more->moved.over(); }));
  EXPECT_EQ(more->moved.data, "content");
}

TEST_F(ImpatientTest, ACopyThatIsStuckEndsOnceItsHostHasGone) {
  Moved moved;
  auto copy = FileTransfer::PackTree(*loop, Connect(),
                                     {.path = top, .name = "top", .recursive = true}, Into(moved))
                  .value();
  ASSERT_TRUE(RunUntil([&] { return moved.opened.has_value(); }));
  EXPECT_EQ(server->transfers(), 1u);
  copy.reset();
  EXPECT_TRUE(RunUntil([&] { return server->transfers() == 0; }));
}

TEST_F(ImpatientTest, AProgramThatIsStuckBeforeItRunsFailsAlone) {
  const auto stuck = Begin(Command({top + "/stuck"}));
  EXPECT_EQ(Execute(Command({"true"}))->exited->ShellCode(), 0);
  EXPECT_EQ(Execute(Command({"/nonexistent"}))->failed->code, FailureCode::kProgramMissing);
  ASSERT_TRUE(RunUntil([&] { return stuck->over(); }));
  EXPECT_EQ(stuck->failed->code, FailureCode::kTimeout);
  EXPECT_TRUE(RunUntil([&] { return server->processes() == 0; }));
}

TEST_F(ImpatientTest, AProgramThatIsStuckInItsExecutionForTooLongFails) {
  Exec exec = Command({top + "/script"});
  exec.unattached = WhenUnattached::kKeep;
  const auto stuck = Begin(exec);
  ASSERT_TRUE(RunUntil([&] { return stuck->over(); }));
  EXPECT_EQ(stuck->failed->code, FailureCode::kTimeout);
  EXPECT_NE(stuck->failed->message.data.find(top + "/script"), std::string::npos);
  EXPECT_TRUE(RunUntil([&] { return server->processes() == 0; }));
}

TEST_F(ImpatientTest, WhatIsSentAheadToAProgramArrivesOnceItRuns) {
  Exec exec = Command({"cat"});
  exec.stdin_mode = StdinMode::kStream;
  auto run = Begin(exec);
  EXPECT_EQ(run->attachment->WriteStdin("ahead"), 5u);
  run->attachment->CloseStdin();
  run = Finish(std::move(run));
  EXPECT_EQ(run->out, "ahead");
}

// With a mount that is known for not answering, and what is not in it.
class MountTest : public StuckTest {
 protected:
  static constexpr std::chrono::milliseconds kPatience{600};
  MountTest() : StuckTest({.mounts_path = MakeMounts(), .file_patience = kPatience}) {}
  void SetUp() override {
    StuckTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(::mkdir((top + "/mnt").c_str(), 0755), 0);
    Make("/mnt/fine", "content");
    ASSERT_EQ(::link((top + "/stuck").c_str(), (top + "/mnt/stuck").c_str()), 0);
    const auto mounts = base::OpenFile(MountsPath(), O_WRONLY);
    ASSERT_TRUE(base::WriteFull(mounts->get(), "1 0 0:1 / " + top + "/mnt rw - fuse x rw\n"));
  }
  void TearDown() override {
    ::unlink(MountsPath().c_str());
    StuckTest::TearDown();
  }
  static std::string MountsPath() {
    return testing::TempDir() + "mounts_" + std::to_string(::getpid());
  }
  static std::string MakeMounts() {
    EXPECT_TRUE(base::OpenFile(MountsPath(), O_WRONLY | O_CREAT, 0600).has_value());
    return MountsPath();
  }
  void Let(std::chrono::milliseconds time) {
    bool over = false;
    auto timer = loop->AddTimer([&] { over = true; }).value();
    timer.Arm(time);
    ASSERT_TRUE(RunUntil([&] { return over; }));
  }
};

TEST_F(MountTest, WhatIsInNoSuchMountWaitsForAsLongAsItsDiskDoes) {
  auto reading = BeginReading("/stuck");
  for (int i = 0; i < 2; ++i) {
    auto given_up = BeginReading("/mnt/stuck");
    ASSERT_TRUE(RunUntil([&] { return given_up->moved.over(); }));
    EXPECT_EQ(given_up->moved.failed->code, FailureCode::kTimeout);
  }
  EXPECT_FALSE(reading->moved.over());
  guard_.Reset();
  ASSERT_TRUE(RunUntil([&] { return reading->moved.over(); }));
  EXPECT_EQ(reading->moved.data, "content");
}

TEST_F(MountTest, WhereAsMuchIsStuckAsMayBeTheOldestMakeRoom) {
  std::vector<std::unique_ptr<Reading>> stuck;
  for (size_t i = 0; i < FileWorkers::kMaxStuck; ++i) stuck.push_back(BeginReading("/stuck"));
  ASSERT_TRUE(RunUntil([&] { return server->file_workers() == FileWorkers::kMaxStuck; }));
  EXPECT_EQ(Stat("/fine"), std::nullopt);
}

TEST_F(MountTest, OneThatIsGivenUpMakesRoomForWhatWaitedForTheSameMount) {
  auto first = BeginReading("/mnt/stuck");
  ASSERT_TRUE(RunUntil([&] { return server->file_workers() == 1; }));
  Let(kPatience / 2);
  std::vector<std::unique_ptr<Reading>> others;
  for (size_t i = 1; i < FileWorkers::kMaxStuckInMount; ++i) {
    others.push_back(BeginReading("/mnt/stuck"));
  }
  auto waiting = BeginReading("/mnt/fine");
  ASSERT_TRUE(RunUntil([&] { return waiting->moved.over(); }));
  EXPECT_EQ(waiting->moved.data, "content");
}

}  // namespace
}  // namespace msb::agent
