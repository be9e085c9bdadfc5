// Control streams and file transfers against a guest that is played by the test.
#include "src/agent/client/control.h"

#include "src/agent/client/file_transfer.h"
#include "src/agent/client/testing.h"

namespace msb::agent {
namespace {

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
            .on_skipped =
                [this](const Skipped& skipped) {
                  log += fmt::format("skipped:{} ", skipped.path.data);
                },
            .on_writable = [this] { log += "writable "; },
            .on_unpacked =
                [this](const Unpacked& unpacked) {
                  log += fmt::format("unpacked{} ", unpacked.entries);
                },
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

TEST_F(Files, NamesOfADeepListingAreCheckedOneByOneAndToItsDepth) {
  const std::string long_name(256, 'x');
  for (const std::string& name :
       {std::string("a//b"), std::string("a/../b"), std::string("/a"), std::string("a/"),
        std::string("a/b/c"), "a/" + long_name, std::string("a/\0b", 4)}) {
    failed.reset();
    transfer =
        FileTransfer::List(*loop, Connect(), {.path = "/", .depth = 2}, FileCallbacks()).value();
    SayHello();
    Say(FrameType::kEvent, 0,
        base::json::Write(Event{.entries = std::vector<DirectoryEntry>{{.name = name}}}));
    ExpectViolation("no name");
  }
}

TEST_F(Files, APackedTreeIsItsStatusItsDataWhatIsSkippedAndItsEnd) {
  transfer = FileTransfer::PackTree(*loop, Connect(), {.path = "/x", .name = "x"}, FileCallbacks())
                 .value();
  SayHello();
  Say(FrameType::kReply, 0, R"({"seq":1,"file":{"size":2}})");
  Say(FrameType::kData, kStdout, "ab");
  Say(FrameType::kEvent, 0, R"({"skipped":{"path":"secret","failure":{"code":"denied"}}})");
  Say(FrameType::kEnd, kStdout, "");
  Settle();
  EXPECT_EQ(log, "opened2 data:ab skipped:secret done ");
}

TEST_F(Files, AnUnpackedTreeIsCountedAfterItsEndOnly) {
  for (const bool finish : {true, false}) {
    log.clear();
    failed.reset();
    transfer = FileTransfer::UnpackTree(*loop, Connect(), {.path = "/x"}, FileCallbacks()).value();
    EXPECT_EQ(transfer->Put("tar"), 3u);
    if (finish) transfer->Finish();
    SayHello();
    Say(FrameType::kReply, 0, R"({"seq":1,"unpacked":{"entries":4}})");
    if (!finish) {
      ExpectViolation("before its end");
      continue;
    }
    Settle();
    EXPECT_EQ(log, "unpacked4 done ");
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
