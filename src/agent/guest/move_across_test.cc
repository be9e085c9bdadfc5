// Moves between file systems, through the whole protocol.
#include "src/agent/guest/move_across.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/agent/guest/testing_files.h"

namespace msb::agent {
namespace {

class MoveAcrossTest : public FilesTest {
 protected:
  void SetUp() override {
    FilesTest::SetUp();
    there = "/dev/shm/move_" + base::RandomHex(4);
    ASSERT_EQ(::mkdir(there.c_str(), 0755), 0);
    struct stat status;
    ASSERT_EQ(::stat(there.c_str(), &status), 0);
    if (status.st_dev == Status("").st_dev) GTEST_SKIP() << "needs two file systems";
  }
  void TearDown() override {
    const auto shm = base::OpenFile("/dev/shm", O_RDONLY | O_DIRECTORY);
    (void)base::RemoveTreeAt(shm->get(), there.substr(there.rfind('/') + 1));
    FilesTest::TearDown();
  }
  std::optional<FailureCode> Move(const std::string& from, const std::string& to,
                                  bool replace = true, const std::string& user = "") {
    return Ask([&](auto done) {
      control->SendRename({.from = from, .to = to, .user = user, .replace = replace},
                          std::move(done));
    });
  }

  std::string there;
};

TEST_F(MoveAcrossTest, AFileArrivesWithItsModeAndTimesAndIsGoneWhereItWas) {
  Make("/file", "content");
  ASSERT_EQ(::chmod((top + "/file").c_str(), 04751), 0);
  const timespec times[2] = {{1000, 5}, {2000, 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (top + "/file").c_str(), times, 0), 0);
  EXPECT_EQ(Move(top + "/file", there + "/new"), std::nullopt) << last_message;
  EXPECT_FALSE(Exists("/file"));
  EXPECT_EQ(base::ReadFile(there + "/new", 100).value(), "content");
  struct stat status;
  ASSERT_EQ(::stat((there + "/new").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 04751u);
  EXPECT_EQ(status.st_mtim.tv_nsec, 7);
  EXPECT_EQ(List(there).names, (std::vector<std::string>{"new"})) << "nothing else is left";
}

TEST_F(MoveAcrossTest, ADirectoryArrivesWithAllThatIsInIt) {
  ASSERT_EQ(::mkdir((top + "/d").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((top + "/d/deep").c_str(), 0511), 0);
  Make("/d/file", "1");
  ASSERT_EQ(::link((top + "/d/file").c_str(), (top + "/d/again").c_str()), 0);
  ASSERT_EQ(::symlink("nowhere", (top + "/d/link").c_str()), 0);
  EXPECT_EQ(Move(top + "/d/", there + "/d"), std::nullopt) << last_message;
  EXPECT_FALSE(Exists("/d"));
  EXPECT_EQ(List(there, 3).names,
            (std::vector<std::string>{"d", "d/again", "d/deep", "d/file", "d/link"}));
  EXPECT_EQ(Move(there + "/d/link", top + "/link"), std::nullopt) << "a link itself";
  EXPECT_TRUE(S_ISLNK(Status("/link").st_mode));
}

TEST_F(MoveAcrossTest, WhatHasTheNameIsReplacedUnlessItMustNotBe) {
  Make("/a", "a");
  Make("/b", "b");
  EXPECT_EQ(Move(top + "/a", there + "/x"), std::nullopt);
  EXPECT_EQ(Move(top + "/b", there + "/x", /*replace=*/false), FailureCode::kExists);
  EXPECT_EQ(Content("/b"), "b");
  EXPECT_EQ(Move(top + "/b", there + "/x"), std::nullopt);
  EXPECT_EQ(base::ReadFile(there + "/x", 100).value(), "b");
}

TEST_F(MoveAcrossTest, WhatCannotBeMovedStaysWhereItIs) {
  Make("/file", "content");
  ASSERT_EQ(::mkdir((there + "/full").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((there + "/full/in").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((top + "/d").c_str(), 0755), 0);
  EXPECT_EQ(Move(top + "/file", there + "/full"), FailureCode::kWrongKind);
  EXPECT_EQ(Move(top + "/d", there + "/full"), FailureCode::kNotEmpty);
  EXPECT_EQ(Move(top + "/file", there + "/no/where"), FailureCode::kNotFound);
  EXPECT_EQ(Move(top + "/none", there + "/x"), FailureCode::kNotFound);
  EXPECT_EQ(Move(top + "/d/.", there + "/x"), FailureCode::kInvalid);
  EXPECT_EQ(Move("/dev/shm", top + "/x"), FailureCode::kWrongKind) << "a mounted file system";
  EXPECT_EQ(Content("/file"), "content");
  EXPECT_EQ(List(there).names, (std::vector<std::string>{"full"}));
}

TEST_F(MoveAcrossTest, ItIsMadeWithTheRightsOfItsUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Make("/ours", "x");
  EXPECT_EQ(Move(top + "/ours", there + "/x", true, "12345"), FailureCode::kDenied);
  ASSERT_EQ(::chmod(there.c_str(), 0777), 0);
  // What may be read but not removed is not moved; nothing is half done.
  EXPECT_NE(Move(top + "/ours", there + "/x", true, "12345"), std::nullopt);
  EXPECT_EQ(Content("/ours"), "x");
  EXPECT_TRUE(List(there).names.empty());
}

}  // namespace
}  // namespace msb::agent
