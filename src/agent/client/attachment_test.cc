// A process seen by the host, in a guest that is played by the test: what a hostile one may say,
// and that it harms nobody.
#include "src/agent/client/attachment.h"

#include "src/agent/client/testing.h"

namespace msb::agent {
namespace {

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

TEST_F(Client, ATerminalThatWasNotAskedForIsRefused) {
  Execute();
  SayHello();
  SayStarted({.pid = 2, .pty = true});
  ExpectViolation("an unasked terminal");
}

TEST_F(Client, OffsetsOfStreamsThatDoNotExistOrTwiceAreRefused) {
  for (const std::vector<StreamOffset>& offsets : {std::vector<StreamOffset>{{kStdin, 0}},
                                                   {{kFirstExtra, 0}},
                                                   {{4'000'000'000, 0}},
                                                   {{kStdout, 1}, {kStderr, 1}, {kStdout, 1}}}) {
    failed.reset();
    log.clear();
    Execute();
    SayHello();
    SayStarted({.pid = 2, .offsets = offsets});
    ExpectViolation("an offset of stream");
    EXPECT_EQ(log, "failed ");
  }
}

TEST_F(Client, ExitCodesBeyondAllMeasureAreStillNumbersOfAShell) {
  EXPECT_EQ((Exited{.value = UINT32_MAX}).ShellCode(), 0x7fff);
  EXPECT_EQ((Exited{.signaled = true, .value = UINT32_MAX}).ShellCode(), 0x7fff + 128);
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

}  // namespace
}  // namespace msb::agent
