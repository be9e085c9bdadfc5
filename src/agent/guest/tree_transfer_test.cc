// Trees out of the guest and into it, as tars, through the whole protocol.
#include "src/agent/guest/tree_transfer.h"

#include "src/agent/guest/testing_files.h"

namespace msb::agent {
namespace {

class TreeTest : public FilesTest {
 protected:
  void SetUp() override {
    FilesTest::SetUp();
    for (const char* name : {"/from", "/to"}) {
      ASSERT_EQ(::mkdir((top + name).c_str(), 0755), 0);
    }
  }
  // Out of /from and into /to.
  void CopyThrough() {
    const Moved packed = PackTree({.path = top + "/from", .name = "tree", .recursive = true});
    ASSERT_TRUE(packed.done) << packed.failed->message.data;
    EXPECT_TRUE(packed.skipped.empty());
    const Moved unpacked = UnpackTree({.path = top + "/to"}, packed.data);
    ASSERT_TRUE(unpacked.done) << unpacked.failed->message.data;
    counts = *unpacked.unpacked;
  }
  void SetTime(const std::string& name, time_t seconds, long nanoseconds) {
    const timespec times[2] = {{1, 0}, {seconds, nanoseconds}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (top + name).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }

  Unpacked counts;
};

TEST_F(TreeTest, ATreeComesBackWithModesTimesAndLinks) {
  ASSERT_EQ(::mkdir((top + "/from/dir").c_str(), 0755), 0);
  Make("/from/dir/file", "content");
  Make("/from/empty", "");
  ASSERT_EQ(::chmod((top + "/from/dir/file").c_str(), 04751), 0);
  ASSERT_EQ(::link((top + "/from/dir/file").c_str(), (top + "/from/again").c_str()), 0);
  ASSERT_EQ(::symlink("/nowhere", (top + "/from/link").c_str()), 0);
  SetTime("/from/dir/file", 1000, 123456789);
  SetTime("/from/link", 2000, 7);
  ASSERT_EQ(::chmod((top + "/from/dir").c_str(), 0511), 0);
  SetTime("/from/dir", 3000, 5);
  CopyThrough();
  EXPECT_EQ(counts.entries, 6u);
  EXPECT_EQ(counts.bytes, 7u);
  EXPECT_EQ(Content("/to/tree/dir/file"), "content");
  EXPECT_EQ(Content("/to/tree/empty"), "");
  EXPECT_EQ(Status("/to/tree/dir/file").st_mode & 07777, 04751u);
  EXPECT_EQ(Status("/to/tree/dir/file").st_nlink, 2u);
  EXPECT_EQ(Status("/to/tree/dir/file").st_ino, Status("/to/tree/again").st_ino);
  EXPECT_EQ(Status("/to/tree/dir/file").st_mtim.tv_nsec, 123456789);
  EXPECT_EQ(Status("/to/tree/link").st_mtim.tv_sec, 2000);
  EXPECT_EQ(Status("/to/tree/dir").st_mode & 07777, 0511u);
  EXPECT_EQ(Status("/to/tree/dir").st_mtim.tv_sec, 3000);
}

TEST_F(TreeTest, HolesStayHoles) {
  {
    const auto file = base::OpenFile(top + "/from/sparse", O_RDWR | O_CREAT, 0600);
    ASSERT_EQ(::ftruncate(file->get(), 64 << 20), 0);
    ASSERT_EQ(::pwrite(file->get(), "middle", 6, 32 << 20), 6);
  }
  {
    const auto file = base::OpenFile(top + "/from/hollow", O_RDWR | O_CREAT, 0600);
    ASSERT_EQ(::ftruncate(file->get(), 1 << 20), 0);
  }
  CopyThrough();
  EXPECT_EQ(Status("/to/tree/sparse").st_size, 64 << 20);
  EXPECT_LT(Status("/to/tree/sparse").st_blocks * 512, 1 << 20);
  EXPECT_TRUE(Content("/to/tree/sparse") == Content("/from/sparse"));
  EXPECT_EQ(Status("/to/tree/hollow").st_size, 1 << 20);
  EXPECT_EQ(Status("/to/tree/hollow").st_blocks, 0);
}

TEST_F(TreeTest, OddAndLongNamesSurvive) {
  std::vector<std::string> names = {std::string(255, 'n'), "line\nbreak", "\xff\xfe", " ", "-rf",
                                    "back\\slash",         "quo\"te'",    ".hidden"};
  std::string deep = "/from";
  for (int i = 0; i < 12; ++i) {
    deep += "/" + std::string(200, static_cast<char>('a' + i));
    ASSERT_EQ(::mkdir((top + deep).c_str(), 0755), 0);
  }
  Make(deep + "/bottom", "x");
  for (const std::string& name : names) Make("/from/" + name, name);
  CopyThrough();
  for (const std::string& name : names) EXPECT_EQ(Content("/to/tree/" + name), name);
  EXPECT_EQ(Content("/to/tree" + deep.substr(5) + "/bottom"), "x");
}

TEST_F(TreeTest, ALargeFileComesThroughWhole) {
  std::string content(20 * 1024 * 1024 + 17, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 % 253);
  Make("/from/big", content);
  CopyThrough();
  EXPECT_TRUE(Content("/to/tree/big") == content);
}

TEST_F(TreeTest, AFileOfProcHasNoSizeAndComesWithItsContent) {
  const Moved packed = PackTree({.path = "/proc/version", .name = "version"});
  ASSERT_TRUE(UnpackTree({.path = top + "/to"}, packed.data).done);
  EXPECT_EQ(Content("/to/version"), base::ReadFile("/proc/version", 4096).value());
}

TEST_F(TreeTest, ALinkAtTheTopIsItselfUnlessItIsToBeFollowed) {
  Make("/from/file", "content");
  ASSERT_EQ(::symlink("file", (top + "/from/link").c_str()), 0);
  const Moved link = PackTree({.path = top + "/from/link", .name = "a"});
  EXPECT_EQ(link.opened->kind, FileKind::kSymlink);
  const Moved file = PackTree({.path = top + "/from/link", .name = "b", .follow = true});
  EXPECT_EQ(file.opened->kind, FileKind::kRegular);
  ASSERT_TRUE(UnpackTree({.path = top + "/to"}, link.data).done);
  ASSERT_TRUE(UnpackTree({.path = top + "/to"}, file.data).done);
  EXPECT_TRUE(S_ISLNK(Status("/to/a").st_mode));
  EXPECT_EQ(Content("/to/b"), "content");
}

TEST_F(TreeTest, WithoutANameOnlyWhatIsInTheTopTravels) {
  Make("/from/file", "content");
  ASSERT_EQ(::chmod((top + "/from").c_str(), 0700), 0);
  const Moved packed = PackTree({.path = top + "/from", .recursive = true});
  ASSERT_TRUE(UnpackTree({.path = top + "/to"}, packed.data).done);
  EXPECT_EQ(Content("/to/file"), "content");
  EXPECT_EQ(Status("/to").st_mode & 0777, 0755u) << "a directory that is there stays as it is";
}

TEST_F(TreeTest, WhatCannotBePackedHasItsReason) {
  Make("/from/file", "");
  EXPECT_EQ(PackTree({.path = top + "/none", .name = "x"}).failed->code, FailureCode::kNotFound);
  EXPECT_EQ(PackTree({.path = top + "/from", .name = "x"}).failed->code, FailureCode::kWrongKind);
  EXPECT_EQ(PackTree({.path = top + "/from/file"}).failed->code, FailureCode::kWrongKind);
  EXPECT_EQ(PackTree({.path = "from", .name = "x"}).failed->code, FailureCode::kInvalid);
  EXPECT_EQ(PackTree({.path = top, .user = "ghost", .name = "x"}).failed->code,
            FailureCode::kNoSuchUser);
}

TEST_F(TreeTest, WhatCannotBeReadIsNamedAndTheRestComes) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Make("/from/secret", "x");
  ASSERT_EQ(::chmod((top + "/from/secret").c_str(), 0600), 0);
  ASSERT_EQ(::mkdir((top + "/from/closed").c_str(), 0700), 0);
  Make("/from/file", "content");
  Moved packed =
      PackTree({.path = top + "/from", .user = "12345", .name = "tree", .recursive = true});
  ASSERT_TRUE(packed.done);
  std::ranges::sort(packed.skipped);
  EXPECT_EQ(packed.skipped, (std::vector<std::string>{"tree/closed", "tree/secret"}));
  ASSERT_TRUE(UnpackTree({.path = top + "/to"}, packed.data).done);
  EXPECT_EQ(Content("/to/tree/file"), "content");
  EXPECT_FALSE(Exists("/to/tree/secret"));
  EXPECT_EQ(PackTree({.path = top + "/from/secret", .user = "12345", .name = "s"}).failed->code,
            FailureCode::kDenied);
}

TEST_F(TreeTest, ManyUnreadableFilesAreCountedNotListed) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  for (int i = 0; i < 150; ++i) {
    Make("/from/" + std::to_string(i), "");
    ASSERT_EQ(::chmod((top + "/from/" + std::to_string(i)).c_str(), 0), 0);
  }
  const Moved packed =
      PackTree({.path = top + "/from", .user = "12345", .name = "tree", .recursive = true});
  EXPECT_EQ(packed.skipped.size(), kMaxSkippedReported + 1);
}

TEST_F(TreeTest, WhatIsUnpackedBelongsToItsUserOrToWhomTheTarSays) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Make("/from/file", "x");
  ASSERT_EQ(::chown((top + "/from/file").c_str(), 7, 8), 0);
  const Moved packed = PackTree({.path = top + "/from", .name = "tree", .recursive = true});
  ASSERT_EQ(::chmod((top + "/to").c_str(), 0777), 0);
  ASSERT_TRUE(UnpackTree({.path = top + "/to", .user = "12345:54321"}, packed.data).done);
  EXPECT_EQ(Status("/to/tree").st_uid, 12345u);
  EXPECT_EQ(Status("/to/tree/file").st_gid, 54321u);
  EXPECT_EQ(UnpackTree({.path = top + "/from", .user = "12345"}, packed.data).failed->code,
            FailureCode::kDenied);
  ASSERT_EQ(::mkdir((top + "/kept").c_str(), 0755), 0);
  ASSERT_TRUE(UnpackTree({.path = top + "/kept", .keep_owners = true}, packed.data).done);
  EXPECT_EQ(Status("/kept/tree/file").st_uid, 7u);
  EXPECT_EQ(Status("/kept/tree/file").st_gid, 8u);
  EXPECT_EQ(Status("/kept/tree").st_uid, 0u);
}

TEST_F(TreeTest, AFileThatIsThereIsReplacedAndADirectoryIsNot) {
  Make("/from/file", "new");
  const Moved packed = PackTree({.path = top + "/from/file", .name = "file"});
  Make("/to/file", "old");
  const ino_t old = Status("/to/file").st_ino;
  ASSERT_TRUE(UnpackTree({.path = top + "/to"}, packed.data).done);
  EXPECT_EQ(Content("/to/file"), "new");
  EXPECT_NE(Status("/to/file").st_ino, old);
  ASSERT_EQ(::unlink((top + "/to/file").c_str()), 0);
  ASSERT_EQ(::mkdir((top + "/to/file").c_str(), 0755), 0);
  const Moved refused = UnpackTree({.path = top + "/to"}, packed.data);
  EXPECT_NE(refused.failed->message.data.find("a directory is in the way"), std::string::npos);
}

TEST_F(TreeTest, WhatIsNoTarIsRefusedWhileItIsStillBeingSent) {
  const Moved moved = UnpackTree({.path = top + "/to"}, std::string(10 << 20, 'x'));
  ASSERT_TRUE(moved.failed);
  EXPECT_NE(moved.failed->message.data.find("not a tar archive"), std::string::npos);
  EXPECT_TRUE(UnpackTree({.path = top + "/to"}, "").failed);
  EXPECT_EQ(UnpackTree({.path = top + "/none"}, "x").failed->code, FailureCode::kNotFound);
}

TEST_F(TreeTest, ATarThatIsCutShortLeavesNoHalfFile) {
  Make("/from/file", std::string(1 << 20, 'x'));
  const Moved packed = PackTree({.path = top + "/from/file", .name = "file"});
  const Moved cut =
      UnpackTree({.path = top + "/to"}, std::string_view(packed.data).substr(0, 700'000));
  EXPECT_TRUE(cut.failed);
  EXPECT_EQ(List(top + "/to").names, std::vector<std::string>());
}

TEST_F(TreeTest, AHostThatGoesAwayInTheMiddleLeavesNoProcess) {
  Make("/from/big", std::string(32 << 20, 'x'));
  for (const bool out : {true, false}) {
    Moved moved;
    auto transfer =
        out ? FileTransfer::PackTree(*loop, Connect(), {.path = top + "/from/big", .name = "b"},
                                     Into(moved))
                  .value()
            : FileTransfer::UnpackTree(*loop, Connect(), {.path = top + "/to"}, Into(moved))
                  .value();
    ASSERT_TRUE(RunUntil([&] { return server->transfers() == 1; }));
    transfer.reset();
    EXPECT_TRUE(RunUntil([&] { return server->transfers() == 0; }));
    EXPECT_EQ(server->sessions(), 1u);
  }
}

TEST_F(TreeTest, OnlySoManyTreesTravelAtOnce) {
  std::vector<Moved> moved(kMaxTreeTransfers + 1);
  std::vector<std::unique_ptr<FileTransfer>> transfers;
  for (Moved& one : moved) {
    transfers.push_back(
        FileTransfer::UnpackTree(*loop, Connect(), {.path = top + "/to"}, Into(one)).value());
  }
  const auto refused = [&] { return std::ranges::find_if(moved, &Moved::over); };
  ASSERT_TRUE(RunUntil([&] { return refused() != moved.end(); }));
  EXPECT_EQ(refused()->failed->code, FailureCode::kLimit);
  transfers.clear();
  EXPECT_TRUE(RunUntil([&] { return server->transfers() == 0; }));
}

TEST_F(TreeTest, OtherRequestsAreServedWhileATreeTravels) {
  Moved moved;
  auto transfer =
      FileTransfer::UnpackTree(*loop, Connect(), {.path = top + "/to"}, Into(moved)).value();
  ASSERT_TRUE(RunUntil([&] { return server->transfers() == 1; }));
  EXPECT_EQ(Ask([&](auto done) { control->SendPing(std::move(done)); }), std::nullopt);
}

}  // namespace
}  // namespace msb::agent
