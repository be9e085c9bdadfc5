// Watched directories through the whole protocol.
#include "src/agent/guest/file_watch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "src/agent/client/directory_watch.h"
#include "src/agent/guest/testing_files.h"

namespace msb::agent {
namespace {

class FileWatchTest : public FilesTest {
 protected:
  struct Seen {
    std::vector<FileChange> changes;
    bool watching = false;
    std::optional<Failure> failed;
    std::unique_ptr<DirectoryWatch> watch;

    bool Has(ChangeKind kind, std::string_view name) const { return Find(kind, name) != nullptr; }
    const FileChange* Find(ChangeKind kind, std::string_view name) const {
      const auto found = std::ranges::find_if(changes, [&](const FileChange& change) {
        return change.kind == kind && change.name.data == name;
      });
      return found == changes.end() ? nullptr : &*found;
    }
  };

  std::unique_ptr<Seen> Watch(const WatchFiles& request) {
    auto seen = std::make_unique<Seen>();
    Seen* raw = seen.get();
    seen->watch =
        DirectoryWatch::Begin(*loop, Connect(), request,
                              {.on_watching = [raw](const FileStatus&) { raw->watching = true; },
                               .on_changes =
                                   [raw](std::span<const FileChange> changes) {
                                     raw->changes.insert(raw->changes.end(), changes.begin(),
                                                         changes.end());
                                   },
                               .on_failed = [raw](const Failure& why) { raw->failed = why; }})
            .value();
    EXPECT_TRUE(RunUntil([raw] { return raw->watching || raw->failed; }));
    return seen;
  }
  std::unique_ptr<Seen> WatchTop(bool recursive = false) {
    return Watch({.path = top, .user = {}, .recursive = recursive});
  }
  [[nodiscard]] bool Await(const Seen& seen, ChangeKind kind, std::string_view name) {
    return RunUntil([&] { return seen.Has(kind, name); });
  }
  std::string At(const std::string& name) const { return top + "/" + name; }
};

TEST_F(FileWatchTest, SaysWhatHappensToTheFilesOfADirectory) {
  const auto seen = WatchTop();
  Make("/file", "content");
  EXPECT_TRUE(Await(*seen, ChangeKind::kCreated, "file"));
  EXPECT_TRUE(Await(*seen, ChangeKind::kWritten, "file"));
  ASSERT_EQ(::chmod(At("file").c_str(), 0600), 0);
  EXPECT_TRUE(Await(*seen, ChangeKind::kAttributes, "file"));
  ASSERT_EQ(::rename(At("file").c_str(), At("other").c_str()), 0);
  ASSERT_TRUE(Await(*seen, ChangeKind::kRenamedTo, "other"));
  const FileChange* from = seen->Find(ChangeKind::kRenamedFrom, "file");
  ASSERT_NE(from, nullptr);
  EXPECT_NE(from->cookie, 0u);
  EXPECT_EQ(from->cookie, seen->Find(ChangeKind::kRenamedTo, "other")->cookie);
  ASSERT_EQ(::unlink(At("other").c_str()), 0);
  EXPECT_TRUE(Await(*seen, ChangeKind::kRemoved, "other"));
  ASSERT_EQ(::chmod(top.c_str(), 0700), 0);
  EXPECT_TRUE(Await(*seen, ChangeKind::kAttributes, "")) << "of the directory itself";
}

TEST_F(FileWatchTest, OfADirectoryAloneWhatIsBelowIsNotTold) {
  ASSERT_EQ(::mkdir(At("sub").c_str(), 0755), 0);
  const auto seen = WatchTop();
  Make("/sub/inner", "x");
  Make("/last", "x");
  ASSERT_TRUE(Await(*seen, ChangeKind::kCreated, "last"));
  EXPECT_FALSE(seen->Has(ChangeKind::kCreated, "sub/inner"));
}

TEST_F(FileWatchTest, ATreeIsWatchedWithTheDirectoriesThatComeLater) {
  ASSERT_EQ(::mkdir(At("old").c_str(), 0755), 0);
  const auto seen = WatchTop(/*recursive=*/true);
  Make("/old/file", "x");
  EXPECT_TRUE(Await(*seen, ChangeKind::kCreated, "old/file"));
  EXPECT_FALSE(seen->Has(ChangeKind::kCreated, "old")) << "it was there";
  // What is in it before it can be watched is told, too.
  ASSERT_EQ(::mkdir(At("new").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(At("new/deep").c_str(), 0755), 0);
  Make("/new/deep/file", "x");
  EXPECT_TRUE(Await(*seen, ChangeKind::kCreated, "new/deep/file"));
  EXPECT_TRUE(seen->Find(ChangeKind::kCreated, "new/deep")->directory);
  ASSERT_EQ(::unlink(At("new/deep/file").c_str()), 0);
  EXPECT_TRUE(Await(*seen, ChangeKind::kRemoved, "new/deep/file"));
}

TEST_F(FileWatchTest, ADirectoryThatMovesIsFollowedUnderItsNewName) {
  ASSERT_EQ(::mkdir(At("a").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(At("a/inner").c_str(), 0755), 0);
  const auto seen = WatchTop(/*recursive=*/true);
  ASSERT_EQ(::rename(At("a").c_str(), At("b").c_str()), 0);
  ASSERT_TRUE(Await(*seen, ChangeKind::kRenamedTo, "b"));
  Make("/b/inner/file", "x");
  EXPECT_TRUE(Await(*seen, ChangeKind::kCreated, "b/inner/file"));
  EXPECT_FALSE(seen->Has(ChangeKind::kCreated, "a/inner/file"));
}

TEST_F(FileWatchTest, LinksOutOfTheTreeAreNotFollowed) {
  const auto seen = WatchTop(/*recursive=*/true);
  ASSERT_EQ(::symlink("/tmp", At("link").c_str()), 0);
  ASSERT_TRUE(Await(*seen, ChangeKind::kCreated, "link"));
  EXPECT_FALSE(seen->Find(ChangeKind::kCreated, "link")->directory);
}

TEST_F(FileWatchTest, EndsWithItsDirectory) {
  ASSERT_EQ(::mkdir(At("sub").c_str(), 0755), 0);
  const auto seen = Watch({.path = At("sub"), .user = {}, .recursive = false});
  ASSERT_EQ(::rmdir(At("sub").c_str()), 0);
  ASSERT_TRUE(RunUntil([&] { return seen->failed.has_value(); }));
  EXPECT_EQ(seen->failed->code, FailureCode::kNotFound);
}

TEST_F(FileWatchTest, WhatCannotBeWatchedSaysWhy) {
  Make("/file", "x");
  EXPECT_EQ(Watch({.path = At("file"), .user = {}})->failed->code, FailureCode::kWrongKind);
  EXPECT_EQ(Watch({.path = At("none"), .user = {}})->failed->code, FailureCode::kNotFound);
  EXPECT_EQ(Watch({.path = "relative", .user = {}})->failed->code, FailureCode::kInvalid);
}

TEST_F(FileWatchTest, MoreDirectoriesThanItWatchesAreSaid) {
  // In memory: so many take a disk its time.
  const std::string memory = "/dev/shm/file_watch_" + base::RandomHex(4);
  ASSERT_EQ(::mkdir(memory.c_str(), 0755), 0);
  const std::string on_disk = std::exchange(top, memory);
  for (size_t i = 0; i <= kMaxWatchedDirectories; ++i) {
    ASSERT_EQ(::mkdir(At(std::to_string(i)).c_str(), 0755), 0);
  }
  EXPECT_EQ(WatchTop(/*recursive=*/true)->failed->code, FailureCode::kLimit);
  const auto seen = WatchTop();
  Make("/file", "x");
  EXPECT_TRUE(Await(*seen, ChangeKind::kCreated, "file")) << "the directory alone can be watched";
  EXPECT_TRUE(base::RemoveTreeAt(AT_FDCWD, memory));
  top = on_disk;
}

TEST_F(FileWatchTest, AHostThatDoesNotReadIsToldThatItMissedSomething) {
  const auto seen = WatchTop();
  seen->watch->Pause();
  Make("/one", "");
  Make("/two", "");
  const auto limit = base::ReadFile("/proc/sys/fs/inotify/max_queued_events", 32);
  // Two that follow one another differ, so that the kernel does not make one of them.
  for (int i = 0; i <= std::stoi(*limit); ++i) {
    ASSERT_EQ(::chmod(At(i % 2 == 0 ? "one" : "two").c_str(), 0600), 0);
  }
  seen->watch->Resume();
  EXPECT_TRUE(Await(*seen, ChangeKind::kOverflow, ""));
  Make("/later", "x");
  EXPECT_TRUE(Await(*seen, ChangeKind::kCreated, "later")) << "it goes on";
}

}  // namespace
}  // namespace msb::agent
