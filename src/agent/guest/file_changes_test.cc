// Single changes to the guest's files, and listings of more than one level.
#include "src/agent/guest/file_changes.h"

#include "src/agent/guest/testing_files.h"

namespace msb::agent {
namespace {

class ChangesTest : public FilesTest {
 protected:
  auto MakeDirectory(const agent::MakeDirectory& request) {
    return Ask([&](auto done) { control->SendMakeDirectory(request, std::move(done)); });
  }
  auto Remove(const agent::Remove& request) {
    return Ask([&](auto done) { control->SendRemove(request, std::move(done)); });
  }
  auto Rename(const agent::Rename& request) {
    return Ask([&](auto done) { control->SendRename(request, std::move(done)); });
  }
  auto ChangeMode(const agent::ChangeMode& request) {
    return Ask([&](auto done) { control->SendChangeMode(request, std::move(done)); });
  }
  auto MakeSymlink(const agent::MakeSymlink& request) {
    return Ask([&](auto done) { control->SendMakeSymlink(request, std::move(done)); });
  }
  Answer<base::Bytes> ReadSymlink(const std::string& path) {
    std::optional<Answer<base::Bytes>> answer;
    control->SendReadSymlink({.path = path},
                             [&](Answer<base::Bytes> got) { answer = std::move(got); });
    EXPECT_TRUE(RunUntil([&] { return answer.has_value(); }));
    return *answer;
  }
};

TEST_F(ChangesTest, ADirectoryIsMadeOnceWithItsModeWhateverTheUmask) {
  const mode_t umask = ::umask(077);
  EXPECT_EQ(MakeDirectory({.path = top + "/new", .mode = 01777}), std::nullopt);
  ::umask(umask);
  EXPECT_EQ(Status("/new").st_mode & 07777, 01777u);
  EXPECT_EQ(MakeDirectory({.path = top + "/new"}), FailureCode::kExists);
  EXPECT_EQ(MakeDirectory({.path = top + "/a/b"}), FailureCode::kNotFound);
}

TEST_F(ChangesTest, WithParentsWhatIsMissingIsMadeAndWhatIsThereIsFine) {
  EXPECT_EQ(MakeDirectory({.path = top + "/a/b/c", .parents = true}), std::nullopt);
  EXPECT_EQ(MakeDirectory({.path = top + "/a/b/c", .parents = true}), std::nullopt);
  Make("/file", "");
  EXPECT_EQ(MakeDirectory({.path = top + "/file", .parents = true}), FailureCode::kWrongKind);
  EXPECT_EQ(MakeDirectory({.path = top + "/file/x", .parents = true}), FailureCode::kWrongKind);
}

TEST_F(ChangesTest, OnlyARecursiveRemovalTakesAFullDirectory) {
  ASSERT_EQ(::mkdir((top + "/d").c_str(), 0755), 0);
  for (int i = 0; i < 300; ++i) Make("/d/" + std::to_string(i), "x");
  Make("/outside", "stays");
  ASSERT_EQ(::mkdir((top + "/d/deep").c_str(), 0755), 0);
  ASSERT_EQ(::symlink(top.c_str(), (top + "/d/deep/up").c_str()), 0);
  EXPECT_EQ(Remove({.path = top + "/d"}), FailureCode::kNotEmpty);
  EXPECT_EQ(Remove({.path = top + "/d", .recursive = true}), std::nullopt);
  EXPECT_FALSE(Exists("/d"));
  EXPECT_EQ(Content("/outside"), "stays") << "links are removed, not followed";
}

TEST_F(ChangesTest, AFileALinkAndAnEmptyDirectoryAreRemovedAsTheyAre) {
  Make("/file", "x");
  ASSERT_EQ(::symlink("file", (top + "/link").c_str()), 0);
  ASSERT_EQ(::mkdir((top + "/empty").c_str(), 0755), 0);
  EXPECT_EQ(Remove({.path = top + "/link"}), std::nullopt);
  EXPECT_TRUE(Exists("/file"));
  EXPECT_EQ(Remove({.path = top + "/file", .recursive = true}), std::nullopt);
  EXPECT_EQ(Remove({.path = top + "/empty"}), std::nullopt);
  EXPECT_EQ(Remove({.path = top + "/empty", .recursive = true}), FailureCode::kNotFound);
  EXPECT_EQ(Remove({.path = "//", .recursive = true}), FailureCode::kInvalid);
}

TEST_F(ChangesTest, RequestsOfOneConnectionAreAllAnsweredEachWithItsOwn) {
  ASSERT_EQ(::mkdir((top + "/d").c_str(), 0755), 0);
  for (int i = 0; i < 500; ++i) Make("/d/" + std::to_string(i), "");
  bool removed = false;
  std::vector<uint64_t> sizes;
  control->SendRemove({.path = top + "/d", .recursive = true},
                      [&](Answer<void> answer) { removed = answer.has_value(); });
  for (size_t i = 0; i < 50; ++i) {
    Make("/" + std::to_string(i), std::string(i, 'x'));
    control->SendStatFile({.path = top + "/" + std::to_string(i)}, [&, i](auto answer) {
      if (answer && answer->size == i) sizes.push_back(i);
    });
  }
  ASSERT_TRUE(RunUntil([&] { return removed && sizes.size() == 50; }));
  EXPECT_FALSE(Exists("/d"));
}

TEST_F(ChangesTest, ARemovalOfMoreLevelsThanCanBeOpenedIsRefusedNotRun) {
  const auto parent = base::OpenFile(top, O_RDONLY | O_DIRECTORY);
  base::UniqueFd at(::dup(parent->get()));
  for (int i = 0; i < 600; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
    at = base::OpenFileAt(at.get(), "d", O_RDONLY | O_DIRECTORY).value();
  }
  EXPECT_EQ(Remove({.path = top + "/d", .recursive = true}), FailureCode::kLimit);
}

TEST_F(ChangesTest, ARenameReplacesUnlessItMustNot) {
  Make("/a", "a");
  Make("/b", "b");
  EXPECT_EQ(Rename({.from = top + "/a", .to = top + "/b", .replace = false}), FailureCode::kExists);
  EXPECT_EQ(Rename({.from = top + "/a", .to = top + "/b"}), std::nullopt);
  EXPECT_EQ(Content("/b"), "a");
  EXPECT_EQ(Rename({.from = top + "/b", .to = top + "/c", .replace = false}), std::nullopt);
  EXPECT_EQ(Rename({.from = top + "/b", .to = top + "/c"}), FailureCode::kNotFound);
  EXPECT_EQ(Rename({.from = top + "/c", .to = "c"}), FailureCode::kInvalid);
}

TEST_F(ChangesTest, AModeIsChangedToWhatWasAsked) {
  Make("/file", "");
  EXPECT_EQ(ChangeMode({.path = top + "/file", .mode = 04751}), std::nullopt);
  EXPECT_EQ(Status("/file").st_mode & 07777, 04751u);
  EXPECT_EQ(ChangeMode({.path = top + "/none"}), FailureCode::kNotFound);
}

TEST_F(ChangesTest, ALinkIsMadeAndReadWithAnyBytes) {
  const std::string odd = "no\n\xff/where";
  EXPECT_EQ(MakeSymlink({.target = odd, .path = top + "/link"}), std::nullopt);
  EXPECT_EQ(ReadSymlink(top + "/link")->data, odd);
  EXPECT_EQ(MakeSymlink({.target = "x", .path = top + "/link"}), FailureCode::kExists);
  EXPECT_EQ(MakeSymlink({.target = "", .path = top + "/empty"}), FailureCode::kInvalid);
  Make("/file", "");
  EXPECT_EQ(ReadSymlink(top + "/file").error().code, FailureCode::kWrongKind);
  EXPECT_EQ(ReadSymlink(top + "/none").error().code, FailureCode::kNotFound);
}

TEST_F(ChangesTest, EveryChangeIsMadeWithTheRightsOfItsUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Make("/ours", "x");
  const std::string user = "12345:54321";
  EXPECT_EQ(MakeDirectory({.path = top + "/d", .user = user}), FailureCode::kDenied);
  EXPECT_EQ(Remove({.path = top + "/ours", .user = user}), FailureCode::kDenied);
  EXPECT_EQ(Rename({.from = top + "/ours", .to = top + "/x", .user = user}), FailureCode::kDenied);
  EXPECT_EQ(ChangeMode({.path = top + "/ours", .user = user}), FailureCode::kDenied);
  EXPECT_EQ(MakeSymlink({.target = "x", .path = top + "/l", .user = user}), FailureCode::kDenied);
  ASSERT_EQ(::chmod(top.c_str(), 0777), 0);
  EXPECT_EQ(MakeDirectory({.path = top + "/d", .user = user}), std::nullopt);
  EXPECT_EQ(Status("/d").st_uid, 12345u);
  EXPECT_EQ(Status("/d").st_gid, 54321u);
  EXPECT_EQ(MakeSymlink({.target = "x", .path = top + "/l", .user = user}), std::nullopt);
  EXPECT_EQ(Remove({.path = top + "/d", .user = user, .recursive = true}), std::nullopt);
}

TEST_F(ChangesTest, AListingGoesAsDeepAsItIsAskedTo) {
  for (const char* name : {"/a", "/a/b", "/a/b/c"}) {
    ASSERT_EQ(::mkdir((top + name).c_str(), 0755), 0);
  }
  Make("/a/b/c/file", "1234");
  ASSERT_EQ(::symlink("b/c", (top + "/a/link").c_str()), 0);
  EXPECT_EQ(List(top).names, (std::vector<std::string>{"a"}));
  EXPECT_EQ(List(top, 2).names, (std::vector<std::string>{"a", "a/b", "a/link"}));
  const Moved all = List(top, kMaxListDepth);
  EXPECT_EQ(all.names, (std::vector<std::string>{"a", "a/b", "a/b/c", "a/b/c/file", "a/link"}));
  for (const DirectoryEntry& entry : all.entries) {
    if (entry.name.data == "a/link") {
      EXPECT_EQ(entry.target.data, "b/c");
    }
    if (entry.name.data == "a/b/c/file") {
      EXPECT_EQ(entry.status.size, 4u);
    }
  }
  EXPECT_EQ(List(top, 0).failed->code, FailureCode::kLimit);
  EXPECT_EQ(List(top, kMaxListDepth + 1).failed->code, FailureCode::kLimit);
}

TEST_F(ChangesTest, AListingOfLongOddNamesFitsIntoItsFrames) {
  std::string odd(255, '\x01');  // six bytes each in JSON
  for (int i = 0; i < 400; ++i) {
    odd[0] = static_cast<char>('a' + i % 26);
    odd[1] = static_cast<char>('a' + i / 26);
    Make("/" + odd, "");
  }
  EXPECT_EQ(List(top).names.size(), 400u);
}

TEST_F(ChangesTest, ADirectoryThatCannotBeListedIsSkippedWithItsName) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::mkdir((top + "/closed").c_str(), 0700), 0);
  Make("/closed/file", "");
  Make("/open", "");
  Moved moved;
  auto transfer =
      FileTransfer::List(*loop, Connect(), {.path = top, .user = "12345", .depth = 3}, Into(moved))
          .value();
  ASSERT_TRUE(RunUntil([&] { return moved.over(); }));
  std::ranges::sort(moved.names);
  EXPECT_EQ(moved.names, (std::vector<std::string>{"closed", "open"}));
  EXPECT_EQ(moved.skipped, (std::vector<std::string>{"closed"}));
}

}  // namespace
}  // namespace msb::agent
