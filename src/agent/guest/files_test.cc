// Files of the guest through the whole protocol, and the copying of trees.
#include "src/agent/guest/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "src/agent/guest/copy_tree.h"
#include "src/agent/guest/testing_files.h"

namespace msb::agent {
namespace {

TEST_F(FilesTest, AFileIsReadWholeOrInPart) {
  std::string content(3 * 1024 * 1024 + 5, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i % 251);
  Make("/big", content);
  Moved whole = Read({.path = top + "/big"});
  ASSERT_TRUE(whole.done);
  EXPECT_EQ(whole.done->size, content.size());
  EXPECT_TRUE(whole.data == content);
  EXPECT_TRUE(Read({.path = top + "/big", .offset = 100, .length = 1000}).data ==
              content.substr(100, 1000));
  EXPECT_EQ(Read({.path = top + "/big", .offset = content.size() + 1}).data, "");
}

TEST_F(FilesTest, FilesOfProcHaveNoSizeAndAreReadAllTheSame) {
  EXPECT_NE(Read({.path = "/proc/self/status"}).data.find("Name:"), std::string::npos);
}

TEST_F(FilesTest, AFileIsWrittenWithItsMode) {
  std::string content(2 * 1024 * 1024 + 3, 'w');
  const Moved moved = Write({.path = top + "/new", .mode = 0666}, content);
  ASSERT_TRUE(moved.done);
  EXPECT_EQ(moved.done->size, content.size());
  EXPECT_EQ(moved.done->mode, 0666u);
  EXPECT_TRUE(base::ReadFile(top + "/new", 1 << 24).value() == content);
  EXPECT_TRUE(Write({.path = top + "/new"}, "").done);
  EXPECT_EQ(base::ReadFile(top + "/new", 10).value(), "");
  EXPECT_EQ(Write({.path = top + "/new", .exclusive = true}, "x").failed.has_value(), true);
}

TEST_F(FilesTest, WhatCannotBeOpenedHasItsReason) {
  EXPECT_EQ(Read({.path = top + "/none"}).failed->code, FailureCode::kNotFound);
  EXPECT_EQ(Read({.path = top}).failed->code, FailureCode::kWrongKind);
  EXPECT_EQ(Read({.path = "relative"}).failed->code, FailureCode::kInvalid);
  EXPECT_EQ(Write({.path = top}, "x").failed->code, FailureCode::kWrongKind);
  EXPECT_EQ(Write({.path = top + "/no/dir"}, "x").failed->code, FailureCode::kNotFound);
  EXPECT_EQ(Read({.path = top, .user = "ghost"}).failed->code, FailureCode::kNoSuchUser);
  EXPECT_EQ(List(top + "/none").failed->code, FailureCode::kNotFound);
  Make("/file", "");
  EXPECT_EQ(List(top + "/file").failed->code, FailureCode::kWrongKind);
}

TEST_F(FilesTest, AFifoOrADeviceIsNeitherReadNorWritten) {
  ASSERT_EQ(::mkfifo((top + "/fifo").c_str(), 0666), 0);
  EXPECT_EQ(Read({.path = top + "/fifo"}).failed->code, FailureCode::kWrongKind);
  EXPECT_EQ(Write({.path = top + "/fifo"}, "x").failed->code, FailureCode::kWrongKind);
  EXPECT_EQ(Read({.path = "/dev/zero"}).failed->code, FailureCode::kWrongKind);
}

TEST_F(FilesTest, AFullDiskIsSaidToBeOne) {
  const base::Error full(base::CodeOfErrno(ENOSPC), "write failed", ENOSPC);
  EXPECT_EQ(FileFailure(full).code, FailureCode::kNoSpace);
}

TEST_F(FilesTest, ADirectoryIsListedWithoutItselfAndItsParent) {
  std::vector<std::string> expected;
  for (int i = 0; i < 700; ++i) {
    Make("/f" + std::to_string(i), "");
    expected.push_back("f" + std::to_string(i));
  }
  std::ranges::sort(expected);
  EXPECT_EQ(List(top).names, expected);
  ASSERT_EQ(::mkdir((top + "/empty").c_str(), 0755), 0);
  EXPECT_TRUE(List(top + "/empty").done);
}

TEST_F(FilesTest, AStatDescribesTheLinkOrItsTarget) {
  Make("/target", "12345");
  ASSERT_EQ(::symlink("target", (top + "/link").c_str()), 0);
  std::optional<FileStatus> link;
  std::optional<FileStatus> target;
  control->SendStatFile({.path = top + "/link", .follow = true},
                        [&](Answer<FileStatus> answer) { target = *answer; });
  control->SendStatFile({.path = top + "/link", .follow = false},
                        [&](Answer<FileStatus> answer) { link = *answer; });
  ASSERT_TRUE(RunUntil([&] { return link && target; }));
  EXPECT_EQ(target->kind, FileKind::kRegular);
  EXPECT_EQ(target->size, 5u);
  EXPECT_EQ(link->kind, FileKind::kSymlink);
}

TEST_F(FilesTest, AnotherUserHasThatUsersRights) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Make("/secret", "x");
  ASSERT_EQ(::chmod((top + "/secret").c_str(), 0600), 0);
  EXPECT_EQ(Read({.path = top + "/secret", .user = "12345"}).failed->code, FailureCode::kDenied);
  EXPECT_TRUE(Read({.path = top + "/secret"}).done) << "and we have our own again";
  ASSERT_EQ(::chmod(top.c_str(), 0777), 0);
  EXPECT_EQ(Write({.path = top + "/theirs", .user = "12345:54321"}, "x").done->uid, 12345u);
}

TEST_F(FilesTest, AListenerThatGoesAwayInTheMiddleLeavesNothing) {
  Make("/big", std::string(8 << 20, 'x'));
  Moved moved;
  auto transfer = FileTransfer::Read(*loop, Connect(), {.path = top + "/big"}, Into(moved)).value();
  ASSERT_TRUE(RunUntil([&] { return !moved.data.empty(); }));
  transfer.reset();
  EXPECT_TRUE(RunUntil([&] { return server->sessions() == 1; }));
}

TEST_F(FilesTest, ACopiedTreeIsTheSameTree) {
  const std::string from = top + "/from";
  const std::string to = top + "/to";
  for (const char* name : {"/from", "/from/dir", "/from/dir/deep", "/to"}) {
    ASSERT_EQ(::mkdir((top + name).c_str(), 0755), 0);
  }
  Make("/from/dir/file", "content");
  ASSERT_EQ(::chmod((from + "/dir/file").c_str(), 04751), 0);
  ASSERT_EQ(::link((from + "/dir/file").c_str(), (from + "/dir/deep/again").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (from + "/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((from + "/fifo").c_str(), 0640), 0);
  const bool attributes = ::setxattr((from + "/dir/file").c_str(), "user.test", "v", 1, 0) == 0;
  const timespec times[2] = {{1000, 5}, {2000, 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (from + "/dir").c_str(), times, 0), 0);
  {
    const auto sparse = base::OpenFile(from + "/sparse", O_RDWR | O_CREAT, 0600);
    ASSERT_EQ(::ftruncate(sparse->get(), 1 << 20), 0);
  }
  const auto source = base::OpenFile(from, O_RDONLY | O_DIRECTORY);
  const auto target = base::OpenFile(to, O_RDONLY | O_DIRECTORY);
  const auto copied = CopyTree(source->get(), target->get());
  ASSERT_TRUE(copied.has_value()) << copied.error().message();
  EXPECT_EQ(*copied, 7u);

  struct stat status;
  ASSERT_EQ(::stat((to + "/dir/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 04751u);
  EXPECT_EQ(status.st_nlink, 2u);
  EXPECT_EQ(base::ReadFile(to + "/dir/file", 100).value(), "content");
  ASSERT_EQ(::lstat((to + "/link").c_str(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
  ASSERT_EQ(::lstat((to + "/fifo").c_str(), &status), 0);
  EXPECT_TRUE(S_ISFIFO(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  ASSERT_EQ(::stat((to + "/dir").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtim.tv_sec, 2000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 7);
  ASSERT_EQ(::stat((to + "/sparse").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 1 << 20);
  EXPECT_EQ(status.st_blocks, 0);
  char value = 0;
  if (attributes) {
    EXPECT_EQ(::getxattr((to + "/dir/file").c_str(), "user.test", &value, 1), 1);
  }
}

}  // namespace
}  // namespace msb::agent
