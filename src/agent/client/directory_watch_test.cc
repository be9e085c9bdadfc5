// A watch against a guest that is played by the test.
#include "src/agent/client/directory_watch.h"

#include "src/agent/client/testing.h"

namespace msb::agent {
namespace {

class DirectoryWatchTest : public Client {
 protected:
  void Begin(bool recursive) {
    watch =
        DirectoryWatch::Begin(*loop, Connect(), {.path = "/x", .user = {}, .recursive = recursive},
                              {.on_watching = [this](const FileStatus&) { log += "watching "; },
                               .on_changes =
                                   [this](std::span<const FileChange> changes) {
                                     for (const auto& change : changes)
                                       log += change.name.data + " ";
                                   },
                               .on_failed =
                                   [this](const Failure& failure) {
                                     log += "failed ";
                                     failed = failure;
                                   }})
            .value();
    SayHello();
    Say(FrameType::kReply, 0, R"({"seq":1,"file":{"kind":"directory"}})");
  }
  void SayChange(std::string_view name) {
    Say(FrameType::kEvent, 0,
        fmt::format(R"({{"changes":[{{"kind":"created","name":"{}"}}]}})", name));
  }

  std::unique_ptr<DirectoryWatch> watch;
};

TEST_F(DirectoryWatchTest, ChangesFollowTheAnswer) {
  Begin(/*recursive=*/true);
  SayChange("a");
  SayChange("a/b");
  SayChange("");
  Settle();
  EXPECT_EQ(log, "watching a a/b  ");
  guest.Reset();
  Settle();
  EXPECT_EQ(failed->code, FailureCode::kDisconnected);
}

TEST_F(DirectoryWatchTest, ANameThatLeadsElsewhereEndsIt) {
  for (const char* name : {"../x", "/etc", "a//b", "a/..", "."}) {
    log.clear();
    failed.reset();
    Begin(/*recursive=*/true);
    SayChange(name);
    ExpectViolation("no name");
  }
}

TEST_F(DirectoryWatchTest, OneDirectoryHasNothingBelow) {
  Begin(/*recursive=*/false);
  SayChange("a/b");
  ExpectViolation("no name");
}

TEST_F(DirectoryWatchTest, AnEventBeforeTheAnswerEndsIt) {
  watch = DirectoryWatch::Begin(*loop, Connect(), {.path = "/x"},
                                {.on_watching = {},
                                 .on_changes = {},
                                 .on_failed =
                                     [this](const Failure& failure) {
                                       log += "failed ";
                                       failed = failure;
                                     }})
              .value();
  SayHello();
  SayChange("a");
  ExpectViolation("before the answer");
}

}  // namespace
}  // namespace msb::agent
