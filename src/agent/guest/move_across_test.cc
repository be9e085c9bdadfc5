// Moves between file systems, through the whole protocol.
#include "src/agent/guest/move_across.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <utility>

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

TEST_F(MoveAcrossTest, ALinkIsMovedItself) {
  ASSERT_EQ(::symlink("nowhere", (top + "/link").c_str()), 0);
  EXPECT_EQ(Move(top + "/link", there + "/link"), std::nullopt) << last_message;
  EXPECT_FALSE(Exists("/link"));
  EXPECT_EQ(Move(there + "/link", top + "/back"), std::nullopt) << last_message;
  EXPECT_TRUE(S_ISLNK(Status("/back").st_mode));
}

TEST_F(MoveAcrossTest, HolesStayHolesAndDataBetweenThemArrives) {
  const auto file = base::OpenFile(top + "/sparse", O_WRONLY | O_CREAT, 0600);
  ASSERT_EQ(::ftruncate(file->get(), 8 << 20), 0);
  ASSERT_EQ(::pwrite(file->get(), "x", 1, (4 << 20) + 5), 1);
  EXPECT_EQ(Move(top + "/sparse", there + "/sparse"), std::nullopt) << last_message;
  std::string expected(8 << 20, '\0');
  expected[(4 << 20) + 5] = 'x';
  EXPECT_EQ(base::ReadFile(there + "/sparse", 16 << 20).value(), expected);
  struct stat status;
  ASSERT_EQ(::stat((there + "/sparse").c_str(), &status), 0);
  EXPECT_LE(status.st_blocks * 512, 1 << 20);
}

TEST_F(MoveAcrossTest, ADirectoryOrAFifoIsRefusedWithWhatToDo) {
  ASSERT_EQ(::mkdir((top + "/d").c_str(), 0755), 0);
  ASSERT_EQ(::mkfifo((top + "/fifo").c_str(), 0644), 0);
  for (const char* name : {"/d", "/fifo"}) {
    EXPECT_EQ(Move(top + name, there + name), FailureCode::kUnsupported);
    EXPECT_NE(last_message.find("such as mv"), std::string::npos) << last_message;
    EXPECT_TRUE(Exists(name));
  }
  EXPECT_TRUE(List(there).names.empty());
}

TEST_F(MoveAcrossTest, WhatChangesMeanwhileStaysAndNothingIsLeftOfTheCopy) {
  Make("/file", "content");
  bool changed = false;
  const auto change = [&] {
    if (!std::exchange(changed, true)) Make("/file", "other");
  };
  const Rename request = {.from = top + "/file", .to = there + "/x"};
  const base::Status moved = MoveAcross(request, Attributes::kAll, change);
  ASSERT_FALSE(moved.has_value());
  EXPECT_NE(moved.error().message().find("has changed"), std::string::npos);
  EXPECT_EQ(Content("/file"), "other");
  EXPECT_TRUE(List(there).names.empty());
}

TEST_F(MoveAcrossTest, WhatTakesItsNameMeanwhileIsNotRemoved) {
  Make("/file", "content");
  Make("/other", "other");
  bool changed = false;
  const auto change = [&] {
    if (!std::exchange(changed, true)) {
      ASSERT_EQ(::link((top + "/file").c_str(), (top + "/kept").c_str()), 0);
    }
    ::rename((top + "/other").c_str(), (top + "/file").c_str());
  };
  const Rename request = {.from = top + "/file", .to = there + "/x"};
  EXPECT_FALSE(MoveAcross(request, Attributes::kAll, change).has_value());
  EXPECT_EQ(Content("/file"), "other");
}

TEST_F(MoveAcrossTest, WhatTheKernelMindsIsLeftBehindUnlessItIsMovedByRoot) {
  Make("/file", "content");
  const std::string capability("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  if (::setxattr((top + "/file").c_str(), "security.capability", capability.data(),
                 capability.size(), 0) < 0) {
    GTEST_SKIP() << "needs root, and a file system with attributes";
  }
  char value[64];
  const Rename request = {.from = top + "/file", .to = there + "/x"};
  ASSERT_TRUE(MoveAcross(request, Attributes::kAll, [] {}).has_value());
  EXPECT_EQ(::getxattr((there + "/x").c_str(), "security.capability", value, sizeof value), 20);
  const Rename back = {.from = there + "/x", .to = top + "/file"};
  ASSERT_TRUE(MoveAcross(back, Attributes::kOfUsers, [] {}).has_value());
  EXPECT_LT(::getxattr((top + "/file").c_str(), "security.capability", value, sizeof value), 0);
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
  EXPECT_EQ(Move(top + "/file", there + "/full"), FailureCode::kWrongKind);
  EXPECT_EQ(Move(top + "/file", there + "/no/where"), FailureCode::kNotFound);
  EXPECT_EQ(Move(top + "/none", there + "/x"), FailureCode::kNotFound);
  EXPECT_EQ(Move(top + "/.", there + "/x"), FailureCode::kInvalid);
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
