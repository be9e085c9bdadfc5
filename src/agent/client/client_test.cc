// The host's side against a guest that is played by the test: what a hostile one may say, and that
// it harms nobody.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>

#include "src/agent/client/attachment.h"
#include "src/agent/client/control.h"
#include "src/agent/client/file_transfer.h"
#include "src/agent/frame.h"
#include "src/base/event_loop.h"
#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

class Client : public testing::Test {
 protected:
  Client() { loop = base::EventLoop::Create().value(); }

  base::UniqueFd Connect() {
    base::Pair pair = base::MakeSocketPair(base::SocketType::kStream).value();
    guest = std::move(pair.first);
    return std::move(pair.second);
  }

  // What the guest says, in raw frames.
  void Say(FrameType type, unsigned stream, std::string_view payload) {
    FrameQueue queue;
    queue.Append(type, stream, payload);
    SayRaw(queue.front());
  }
  void SayRaw(std::string_view bytes) {
    ASSERT_EQ(::send(guest.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void SayHello() { Say(FrameType::kHello, 0, R"({"version":1,"oldest":1})"); }
  void SayStarted(const Started& started = {.pid = 2}) {
    Say(FrameType::kReply, 0, base::json::Write(Reply{.seq = 1, .started = started}));
  }
  void SayCredit(unsigned stream, uint32_t bytes) {
    FrameQueue queue;
    queue.AppendCredit(stream, bytes);
    SayRaw(queue.front());
  }

  // All that can happen without another word from the guest.
  void Settle() {
    while (loop->RunOnce(0).value()) {
    }
  }

  void Execute(const Exec& exec = {.id = std::string(32, '0'), .argv = {"x"}}) {
    attachment = Attachment::Execute(*loop, Connect(), exec, Callbacks()).value();
  }
  Attachment::Callbacks Callbacks() {
    return {.on_started = [this](const Started&) { log += "started "; },
            .on_stdout = [this](std::string_view data) { log += fmt::format("out:{} ", data); },
            .on_stderr = [this](std::string_view data) { log += fmt::format("err:{} ", data); },
            .on_extra = [this](unsigned stream,
                               std::string_view) { log += fmt::format("extra{} ", stream); },
            .on_end = [this](unsigned stream) { log += fmt::format("end{} ", stream); },
            .on_dropped = [this](unsigned, uint64_t n) { log += fmt::format("dropped{} ", n); },
            .on_writable = [this](unsigned stream) { log += fmt::format("writable{} ", stream); },
            .on_exit = [this](const Exited& e) { log += fmt::format("exit{} ", e.ShellCode()); },
            .on_failed =
                [this](const Failure& failure) {
                  log += "failed ";
                  failed = failure;
                }};
  }
  void ExpectViolation(std::string_view what) {
    Settle();
    ASSERT_TRUE(failed) << log;
    EXPECT_EQ(failed->code, FailureCode::kProtocol) << failed->message.data;
    EXPECT_NE(failed->message.data.find(what), std::string::npos) << failed->message.data;
    EXPECT_TRUE(log.ends_with("failed "));
  }

  std::unique_ptr<base::EventLoop> loop;
  base::UniqueFd guest;
  std::unique_ptr<Attachment> attachment;
  std::string log;
  std::optional<Failure> failed;
};

TEST_F(Client, AnOrderlyProcessIsToldInOrder) {
  Execute();
  SayHello();
  SayStarted();
  Say(FrameType::kData, kStdout, "a");
  Say(FrameType::kData, kStderr, "b");
  Say(FrameType::kEvent, 0, R"({"dropped":{"stream":1,"bytes":9}})");
  Say(FrameType::kEnd, kStdout, "");
  Say(FrameType::kEvent, 0, R"({"exited":{"value":3}})");
  Settle();
  EXPECT_EQ(log, "started out:a err:b dropped9 end1 exit3 ");
}

TEST_F(Client, TheRequestIsSentWithoutWaitingForTheGuest) {
  Execute({.id = std::string(32, '0'), .argv = {"x"}, .stdin_mode = StdinMode::kStream});
  attachment->WriteStdin("early");
  attachment->CloseStdin();
  Settle();
  std::string sent(4096, '\0');
  sent.resize(static_cast<size_t>(::recv(guest.get(), sent.data(), sent.size(), MSG_DONTWAIT)));
  EXPECT_NE(sent.find("\"argv\":[\"x\"]"), std::string::npos);
  EXPECT_NE(sent.find("early"), std::string::npos);
}

TEST_F(Client, AFailureCarriesItsCodeToTheExitCode) {
  Execute();
  SayHello();
  Say(FrameType::kReply, 0,
      R"({"seq":1,"failure":{"code":"program_missing","message":"x: not found in PATH"}})");
  Settle();
  ASSERT_TRUE(failed);
  EXPECT_EQ(ExitCodeOf(failed->code), 127);
  EXPECT_EQ(failed->message.data, "x: not found in PATH");
}

TEST_F(Client, AGuestThatGoesAwayIsReportedOnce) {
  Execute();
  guest.Reset();
  Settle();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->code, FailureCode::kDisconnected);
  EXPECT_EQ(log, "failed ");
}

TEST_F(Client, AnotherVersionIsNamed) {
  Execute();
  Say(FrameType::kHello, 0, R"({"version":9,"oldest":8})");
  Settle();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->code, FailureCode::kVersion);
}

TEST_F(Client, ANewerGuestThatStillSpeaksOursIsAccepted) {
  Execute();
  Say(FrameType::kHello, 0, R"({"version":2,"oldest":1,"more":true})");
  SayStarted();
  Settle();
  EXPECT_EQ(log, "started ");
}

TEST_F(Client, NothingIsAcceptedBeforeTheHello) {
  Execute();
  SayStarted();
  ExpectViolation("no hello");
}

TEST_F(Client, ASecondHelloIsRefused) {
  Execute();
  SayHello();
  SayHello();
  ExpectViolation("second hello");
}

TEST_F(Client, DataBeforeTheStartIsRefused) {
  Execute();
  SayHello();
  Say(FrameType::kData, kStdout, "x");
  ExpectViolation("data on stream 1");
}

TEST_F(Client, DataOnStreamsThatDoNotExistIsRefused) {
  for (const unsigned stream : {kStdin, kFirstExtra, kFirstExtra + 3}) {
    failed.reset();
    Execute();
    SayHello();
    SayStarted();
    Say(FrameType::kData, stream, "x");
    ExpectViolation("data on stream");
  }
}

TEST_F(Client, WithATerminalThereIsNoStderr) {
  Execute({.id = std::string(32, '0'), .argv = {"x"}, .pty = WindowSize{}});
  SayHello();
  SayStarted({.pid = 1, .pty = true});
  Say(FrameType::kData, kStderr, "x");
  ExpectViolation("data on stream 2");
}

TEST_F(Client, DataAfterItsEndIsRefused) {
  Execute();
  SayHello();
  SayStarted();
  Say(FrameType::kEnd, kStdout, "");
  Say(FrameType::kData, kStdout, "x");
  ExpectViolation("data on stream 1");
}

TEST_F(Client, ADoubleEndIsRefused) {
  Execute();
  SayHello();
  SayStarted();
  Say(FrameType::kEnd, kStdout, "");
  Say(FrameType::kEnd, kStdout, "");
  ExpectViolation("end of stream 1");
}

TEST_F(Client, MoreExtraStreamsThanWereAskedForAreRefused) {
  Execute();
  SayHello();
  SayStarted({.pid = 1, .extra_streams = 1});
  ExpectViolation("extra streams");
}

TEST_F(Client, ASecondStartIsRefused) {
  Execute();
  SayHello();
  SayStarted();
  SayStarted();
  ExpectViolation("no request of ours");
}

TEST_F(Client, AnAnswerToNothingIsRefused) {
  Execute();
  SayHello();
  Say(FrameType::kReply, 0, R"({"seq":99})");
  ExpectViolation("no request of ours");
}

TEST_F(Client, ARequestFromTheGuestIsRefused) {
  Execute();
  SayHello();
  Say(FrameType::kRequest, 0, R"({"seq":1,"ping":{}})");
  ExpectViolation("a request from the guest");
}

TEST_F(Client, AnExitBeforeTheStartIsRefused) {
  Execute();
  SayHello();
  Say(FrameType::kEvent, 0, R"({"exited":{}})");
  ExpectViolation("before the start");
}

TEST_F(Client, NothingFollowsTheExit) {
  Execute();
  SayHello();
  SayStarted();
  Say(FrameType::kEvent, 0, R"({"exited":{}})");
  Say(FrameType::kData, kStdout, "x");
  Say(FrameType::kEvent, 0, R"({"exited":{}})");
  Settle();
  EXPECT_EQ(log, "started exit0 ");
}

TEST_F(Client, LengthsFromTheGuestAllocateNothing) {
  Execute();
  SayHello();
  SayRaw(std::string_view("\xff\xff\xff\x7f\x03", 5));
  ExpectViolation("the limit is");
}

TEST_F(Client, JsonThatIsNoneIsRefused) {
  for (const char* text : {"", "{", "[]", "nonsense", R"({"seq":"1"})", R"({"seq":-1})",
                           R"({"seq":1,"failure":{"code":"no_such_code"}})"}) {
    failed.reset();
    Execute();
    SayHello();
    Say(FrameType::kReply, 0, text);
    ExpectViolation("broke the protocol");
  }
}

TEST_F(Client, JsonNestedWithoutEndIsRefused) {
  Execute();
  SayHello();
  Say(FrameType::kReply, 0, std::string(100000, '['));
  ExpectViolation("not JSON");
}

TEST_F(Client, CreditIsBoundedByTheWindow) {
  Execute({.id = std::string(32, '0'), .argv = {"x"}, .stdin_mode = StdinMode::kStream});
  SayHello();
  SayCredit(kStdin, kCreditWindow - kInitialCredit);
  Settle();
  EXPECT_EQ(attachment->Writable(kStdin), kCreditWindow);
  SayCredit(kStdin, 1);
  ExpectViolation("credit");
}

TEST_F(Client, CreditForStreamsThatTakeNoneIsRefused) {
  Execute();
  SayHello();
  SayCredit(kStdout, 100);
  ExpectViolation("credit");
}

TEST_F(Client, CreditOfNothingIsRefused) {
  Execute();
  SayHello();
  SayCredit(kStdin, 0);
  ExpectViolation("credit");
}

TEST_F(Client, InputStopsWhenTheCreditIsUsedAndGoesOnWithMore) {
  Execute({.id = std::string(32, '0'), .argv = {"x"}, .stdin_mode = StdinMode::kStream});
  const std::string much(kInitialCredit + 100, 'x');
  EXPECT_EQ(attachment->WriteStdin(much), kInitialCredit);
  EXPECT_EQ(attachment->WriteStdin("y"), 0u);
  SayHello();
  SayCredit(kStdin, 10);
  Settle();
  EXPECT_EQ(log, "writable0 ");
  EXPECT_EQ(attachment->WriteStdin(much), 10u);
  attachment->CloseStdin();
  EXPECT_EQ(attachment->WriteStdin("y"), 0u);
}

TEST_F(Client, WithoutStdinNothingIsWritten) {
  Execute();
  EXPECT_EQ(attachment->WriteStdin("x"), 0u);
  EXPECT_EQ(attachment->Write(99, "x"), 0u);
}

TEST_F(Client, APausedConsumerIsToldNothingAndReadsNothing) {
  Execute();
  SayHello();
  SayStarted();
  Settle();
  attachment->PauseOutput();
  // The guest sends until its socket is full: the client holds no more than its buffer.
  const std::string block(64 * 1024, 'x');
  FrameQueue queue;
  queue.Append(FrameType::kData, kStdout, block);
  size_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string_view frame = queue.front();
    const ssize_t put = ::send(guest.get(), frame.data(), frame.size(), MSG_DONTWAIT);
    if (put != static_cast<ssize_t>(frame.size())) break;
    sent += block.size();
    Settle();
  }
  EXPECT_LT(sent, 2u << 20);
  EXPECT_EQ(log, "started ");
  attachment->ResumeOutput();
  Settle();
  EXPECT_GE(log.size(), sent);
}

TEST_F(Client, AGuestThatHangsUpWhilePausedIsNoticedAfterwards) {
  Execute();
  SayHello();
  SayStarted();
  Settle();
  attachment->PauseOutput();
  Say(FrameType::kData, kStdout, "last");
  guest.Reset();
  Settle();  // does not spin, and says nothing
  EXPECT_EQ(log, "started ");
  attachment->ResumeOutput();
  Settle();
  EXPECT_EQ(log, "started out:last failed ");
}

TEST_F(Client, AGuestThatDoesNotAnswerIsAskedNoMore) {
  const std::string name(8000, 'x');
  auto control =
      Control::Create(*loop, Connect(), [&](const Failure& why) { failed = why; }).value();
  for (size_t i = 0; i < Control::kMaxOpenRequests; ++i) {
    control->SendStatFile({.path = name}, [](const Answer<FileStatus>&) {});
  }
  Settle();
  EXPECT_FALSE(failed);
  std::optional<Failure> refused;
  control->SendPing([&](Answer<void> answer) { refused = answer.error(); });
  Settle();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, FailureCode::kLimit);
}

TEST_F(Client, SignalsThatAreNeverAnsweredDoNotPileUp) {
  Execute();
  for (int i = 0; i < 100000; ++i) attachment->Signal(2);
  Settle();
  EXPECT_FALSE(failed);
  size_t bytes = 0;
  std::string buffer(1 << 20, '\0');
  for (;;) {
    const ssize_t got = ::recv(guest.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0) break;
    bytes += static_cast<size_t>(got);
    Settle();
  }
  EXPECT_LT(bytes, 256u * 200);
}

TEST_F(Client, ARequestThatIsTooLongFailsByItsOwnName) {
  Execute({.id = std::string(32, '0'), .argv = {std::string(2 << 20, 'x')}});
  Settle();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->code, FailureCode::kLimit);
}

TEST_F(Client, ACallbackMayDestroyItsAttachment) {
  const char* moments[] = {"started", "out", "exit", "failed"};
  for (const std::string_view moment : moments) {
    auto callbacks = Callbacks();
    const auto destroy = [this](auto&&...) { attachment.reset(); };
    if (moment == "started") callbacks.on_started = destroy;
    if (moment == "out") callbacks.on_stdout = destroy;
    if (moment == "exit") callbacks.on_exit = destroy;
    if (moment == "failed") callbacks.on_failed = destroy;
    attachment = Attachment::Execute(*loop, Connect(), {.id = std::string(32, '0'), .argv = {"x"}},
                                     callbacks)
                     .value();
    if (moment != "failed") SayHello();
    SayStarted();
    Say(FrameType::kData, kStdout, "x");
    Say(FrameType::kEvent, 0, R"({"exited":{}})");
    Settle();
    EXPECT_EQ(attachment, nullptr) << moment;
  }
}

// --- control

TEST_F(Client, EveryOpenRequestIsAnsweredWhenTheGuestGoes) {
  int answers = 0;
  bool closed = false;
  auto control =
      Control::Create(*loop, Connect(), [&](const Failure&) { closed = answers == 3; }).value();
  for (int i = 0; i < 3; ++i) {
    control->SendPing([&](Answer<void> answer) {
      EXPECT_EQ(answer.error().code, FailureCode::kDisconnected);
      ++answers;
    });
  }
  guest.Reset();
  Settle();
  EXPECT_TRUE(closed);
  control->SendPing([&](Answer<void>) { ++answers; });
  Settle();
  EXPECT_EQ(answers, 4);
}

TEST_F(Client, AnswersMayComeInAnyOrder) {
  std::string order;
  auto control = Control::Create(*loop, Connect(), {}).value();
  control->SendPing([&](Answer<void>) { order += "1"; });
  control->SendWait({}, [&](Answer<Exited> answer) { order += answer ? "2" : "?"; });
  SayHello();
  Say(FrameType::kReply, 0, R"({"seq":2,"exited":{"value":1}})");
  Say(FrameType::kReply, 0, R"({"seq":1})");
  Settle();
  EXPECT_EQ(order, "21");
}

TEST_F(Client, AnAnswerWithoutItsContentEndsTheControlStream) {
  std::optional<FailureCode> answered;
  bool closed = false;
  auto control = Control::Create(*loop, Connect(), [&](const Failure&) { closed = true; }).value();
  control->SendConfigure({}, [&](Answer<Configured> answer) { answered = answer.error().code; });
  SayHello();
  Say(FrameType::kReply, 0, R"({"seq":1})");
  Settle();
  EXPECT_EQ(answered, FailureCode::kProtocol);
  EXPECT_TRUE(closed);
}

TEST_F(Client, DataOnAControlStreamEndsIt) {
  std::optional<Failure> closed;
  auto control = Control::Create(*loop, Connect(), [&](const Failure& why) { closed = why; });
  SayHello();
  Say(FrameType::kData, kStdout, "x");
  Settle();
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->code, FailureCode::kProtocol);
}

// --- files

class Files : public Client {
 protected:
  FileTransfer::Callbacks FileCallbacks() {
    return {.on_opened = [this](const FileStatus& s) { log += fmt::format("opened{} ", s.size); },
            .on_data = [this](std::string_view data) { log += fmt::format("data:{} ", data); },
            .on_entries =
                [this](std::span<const DirectoryEntry> entries) {
                  for (const auto& entry : entries) log += entry.name.data + " ";
                },
            .on_writable = [this] { log += "writable "; },
            .on_done = [this](const FileStatus&) { log += "done "; },
            .on_failed =
                [this](const Failure& failure) {
                  log += "failed ";
                  failed = failure;
                }};
  }
  std::unique_ptr<FileTransfer> transfer;
};

TEST_F(Files, AReadIsItsStatusItsDataAndItsEnd) {
  transfer = FileTransfer::Read(*loop, Connect(), {.path = "/x"}, FileCallbacks()).value();
  SayHello();
  Say(FrameType::kReply, 0, R"({"seq":1,"file":{"size":2}})");
  Say(FrameType::kData, kStdout, "ab");
  Say(FrameType::kEnd, kStdout, "");
  Settle();
  EXPECT_EQ(log, "opened2 data:ab done ");
}

TEST_F(Files, AReadThatBreaksIsNotDone) {
  transfer = FileTransfer::Read(*loop, Connect(), {.path = "/x"}, FileCallbacks()).value();
  SayHello();
  Say(FrameType::kReply, 0, R"({"seq":1,"file":{}})");
  Say(FrameType::kEvent, 0, R"({"broken":{"code":"system","message":"i/o error"}})");
  Settle();
  EXPECT_EQ(log, "opened0 failed ");
  EXPECT_EQ(failed->message.data, "i/o error");
}

TEST_F(Files, ATransferThatStopsInTheMiddleIsNotDone) {
  transfer = FileTransfer::Read(*loop, Connect(), {.path = "/x"}, FileCallbacks()).value();
  SayHello();
  Say(FrameType::kReply, 0, R"({"seq":1,"file":{"size":2}})");
  Say(FrameType::kData, kStdout, "a");
  guest.Reset();
  Settle();
  EXPECT_EQ(log, "opened2 data:a failed ");
}

TEST_F(Files, DataBeforeTheStatusIsRefused) {
  transfer = FileTransfer::Read(*loop, Connect(), {.path = "/x"}, FileCallbacks()).value();
  SayHello();
  Say(FrameType::kData, kStdout, "a");
  ExpectViolation("data");
}

TEST_F(Files, AWriteIsDoneOnlyAfterItsEnd) {
  transfer = FileTransfer::Write(*loop, Connect(), {.path = "/x"}, FileCallbacks()).value();
  EXPECT_EQ(transfer->Put("abc"), 3u);
  SayHello();
  Say(FrameType::kReply, 0, R"({"seq":1,"file":{}})");
  ExpectViolation("before its end");
}

TEST_F(Files, NamesThatAreNoneEndTheListing) {
  for (const char* name : {"", ".", "..", "a/b", "/"}) {
    failed.reset();
    transfer = FileTransfer::List(*loop, Connect(), {.path = "/"}, FileCallbacks()).value();
    SayHello();
    Say(FrameType::kEvent, 0,
        base::json::Write(Event{.entries = std::vector<DirectoryEntry>{{.name = name}}}));
    ExpectViolation("no name");
  }
}

TEST_F(Files, AListingIsItsEntriesAndTheAnswer) {
  transfer = FileTransfer::List(*loop, Connect(), {.path = "/"}, FileCallbacks()).value();
  SayHello();
  Say(FrameType::kEvent, 0, R"({"entries":[{"name":"a"},{"name":"b"}]})");
  Say(FrameType::kReply, 0, R"({"seq":1})");
  Settle();
  EXPECT_EQ(log, "a b done ");
}

}  // namespace
}  // namespace msb::agent
