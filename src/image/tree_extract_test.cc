// What a hostile tar can do beneath a directory, and what it cannot do anywhere else.
#include "src/image/tree_extract.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "src/base/sys.h"
#include "src/image/new_file.h"
#include "src/image/testing/tar_bytes.h"
#include "src/image/tree_names.h"
#include "src/image/tree_pack.h"

namespace msb::image {
namespace {

using image::testing::RawHeader;
using image::testing::TarBytes;
using ::testing::HasSubstr;

class StringSource : public ByteSource {
 public:
  explicit StringSource(std::string_view data) : data_(data) {}
  base::Result<std::string_view> Next() override {
    const std::string_view piece = data_.substr(at_, 1000);  // never whole records
    at_ += piece.size();
    return piece;
  }
  uint64_t consumed() const override { return at_; }

 private:
  std::string_view data_;
  size_t at_ = 0;
};

class TreeExtract : public ::testing::Test {
 protected:
  TreeExtract() {
    base::RaiseOpenFileLimit();  // to remove what is nested deeply
    top = ::testing::TempDir() + "extract_" + base::RandomHex(4);
    for (const std::string& name : {top, top + "/to", top + "/outside"}) {
      EXPECT_EQ(::mkdir(name.c_str(), 0755), 0);
    }
    Write("outside/secret", "untouched");
    root = base::OpenFile(top + "/to", O_PATH | O_DIRECTORY).value();
  }
  ~TreeExtract() override {
    EXPECT_EQ(Read("outside/secret"), "untouched");
    EXPECT_EQ(NamesIn("outside"), std::vector<std::string>{"secret"});
    EXPECT_EQ(NamesIn("."), (std::vector<std::string>{"outside", "to"}));
    const auto parent = base::OpenFile(::testing::TempDir(), O_RDONLY | O_DIRECTORY);
    (void)base::RemoveTreeAt(parent->get(), top.substr(top.rfind('/') + 1));
  }

  base::Status Extract(const std::string& tar) { return Extract(tar, ExtractPolicy()); }
  base::Status Extract(const std::string& tar, ExtractPolicy policy) {
    StringSource source(tar);
    TarStream stream(source, std::numeric_limits<uint64_t>::max());
    TreeExtractor extractor(root.get(), std::move(policy));
    base::Status done = extractor.Run(stream);
    counts = extractor.counts();
    return done;
  }
  void ExpectRefused(const std::string& tar, std::string_view why) {
    ExpectRefused(tar, ExtractPolicy(), why);
  }
  void ExpectRefused(const std::string& tar, ExtractPolicy policy, std::string_view why) {
    const base::Status done = Extract(tar, std::move(policy));
    ASSERT_FALSE(done) << why;
    EXPECT_THAT(done.error().message(), HasSubstr(std::string(why)));
  }

  void Write(const std::string& name, std::string_view content) {
    const auto fd = base::OpenFile(top + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(base::WriteFull(fd->get(), content).has_value());
  }
  std::string Read(const std::string& name) {
    return base::ReadFile(top + "/" + name, 1 << 24).value_or("(unreadable)");
  }
  std::vector<std::string> NamesIn(const std::string& name) {
    const auto fd = base::OpenFile(top + "/" + name, O_RDONLY | O_DIRECTORY);
    auto names = base::ListDirectory(fd->get()).value();
    std::ranges::sort(names);
    return names;
  }
  struct stat Status(const std::string& name) {
    struct stat status = {};
    EXPECT_EQ(::lstat((top + "/" + name).c_str(), &status), 0) << name;
    return status;
  }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(::symlink(target.c_str(), (top + "/" + name).c_str()), 0);
  }

  std::string top;
  base::UniqueFd root;
  ExtractCounts counts;
};

TEST_F(TreeExtract, FilesDirectoriesAndLinksAreMade) {
  ASSERT_TRUE(Extract(TarBytes()
                          .Directory("d", "0000750")
                          .File("d/file", "content")
                          .Symlink("d/link", "file")
                          .HardLink("again", "d/file")
                          .End()));
  EXPECT_EQ(Read("to/d/file"), "content");
  EXPECT_EQ(Read("to/d/link"), "content");
  EXPECT_EQ(Status("to/again").st_ino, Status("to/d/file").st_ino);
  EXPECT_EQ(Status("to/d").st_mode & 07777, 0750u);
  EXPECT_EQ(Status("to/d").st_mtime, 0) << "set after what is in it";
  EXPECT_EQ(counts.entries, 4u);
  EXPECT_EQ(counts.bytes, 7u);
}

TEST_F(TreeExtract, AFileWithoutItsDirectoryGetsOneInATarOfOnesOwn) {
  ASSERT_TRUE(Extract(TarBytes().File("a/b/c", "x").End(), {.hostile = false}));
  EXPECT_EQ(Read("to/a/b/c"), "x");
}

// One member could make thousands.
TEST_F(TreeExtract, DirectoriesThatDidNotComeAreNotMadeForAnybodyElse) {
  ExpectRefused(TarBytes().File("a/b/c", "x").End(), "did not come before");
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>());
}

// --- names ---------------------------------------------------------------------------------------

TEST_F(TreeExtract, NamesThatLeadElsewhereAreRefused) {
  for (const char* name :
       {"../outside/new", "/outside", "a/../../outside/x", "..", "a//b", "a/.."}) {
    ExpectRefused(TarBytes().File(name, "x").End(), "name");
    ExpectRefused(TarBytes().Directory(name).End(), "name");
    ExpectRefused(TarBytes().Symlink(name, "x").End(), "name");
    ExpectRefused(TarBytes().File("x", "x").HardLink(name, "x").End(), "name");
  }
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>{"x"});
}

TEST_F(TreeExtract, NamesWithNulAreRefused) {
  ExpectRefused(TarBytes().Pax({{"path", std::string("a\0b", 3)}}).File("x", "").End(), "NUL");
  EXPECT_FALSE(SplitMemberName(std::string_view("a\0b", 3)));
  EXPECT_FALSE(SplitMemberName(""));
}

TEST_F(TreeExtract, TooLongNamesAreRefused) {
  ExpectRefused(TarBytes().Pax({{"path", std::string(256, 'x')}}).File("x", "").End(), "255");
  std::string deep;
  for (int i = 0; i < 2100; ++i) deep += "d/";
  ExpectRefused(TarBytes().Pax({{"path", deep + "x"}}).File("x", "").End(), "4095");
}

TEST_F(TreeExtract, DeepNestingIsMadeAsFarAsAPathGoes) {
  std::string deep;
  TarBytes tar;
  for (int i = 0; i < 2000; ++i) tar.Pax({{"path", deep += "d/"}}).Directory("d");
  ASSERT_TRUE(Extract(tar.Pax({{"path", deep + "x"}}).File("x", "deep").End()));
}

TEST_F(TreeExtract, EscapesInNamesDoNotReachTheTerminal) {
  const base::Status done = Extract(TarBytes().File("a/../\x1b[2J", "").End());
  EXPECT_THAT(done.error().message(), HasSubstr("\\x1b[2J"));
}

TEST_F(TreeExtract, OnlyWhatWasAskedForIsTaken) {
  const ExtractPolicy only{.only = "want"};
  EXPECT_TRUE(Extract(TarBytes().Directory("want").File("want/x", "").End(), only));
  for (const char* name : {"other", "want2", "./other"}) {
    ExpectRefused(TarBytes().File(name, "").End(), only, "asked for");
  }
  ExpectRefused(TarBytes().Directory("./").End(), only, "asked for");
  ExpectRefused(TarBytes().File("want/y", "").HardLink("want/z", "elsewhere").End(), only,
                "asked for");
}

TEST_F(TreeExtract, WhereAFileWasAskedForNothingElseIsTaken) {
  const ExtractPolicy file{.only = "want", .single_file = true};
  ExpectRefused(TarBytes().Directory("want").End(), file, "asked for");
  ExpectRefused(TarBytes().Symlink("want", "/etc/passwd").End(), file, "asked for");
  ExpectRefused(TarBytes().File("want/x", "").End(), file, "asked for");
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>());
  EXPECT_TRUE(Extract(TarBytes().File("want", "x").End(), file));
}

// --- links ---------------------------------------------------------------------------------------

TEST_F(TreeExtract, ALinkOfTheTarIsNotFollowed) {
  const TarBytes link = TarBytes().Symlink("l", "../outside");
  ExpectRefused(TarBytes(link).File("l/new", "x").End(), "did not come before");
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>()) << "links come last";
  ExpectRefused(TarBytes(link).Directory("l").File("l/new", "x").End(), "in the way");
  EXPECT_TRUE(S_ISDIR(Status("to/l").st_mode));
}

TEST_F(TreeExtract, ALinkOverAnotherLinkOfTheTarIsAClash) {
  ExpectRefused(TarBytes().Symlink("l", "../outside").Symlink("l/x", "y").End(), "not followed");
  ExpectRefused(TarBytes().Symlink("m", "a").Symlink("m", "b").End(), "twice");
}

TEST_F(TreeExtract, ALinkThatIsThereAlreadyIsNotFollowed) {
  Link("../outside", "to/l");
  ExpectRefused(TarBytes().File("l/new", "x").End(), "not followed");
  ExpectRefused(TarBytes().Directory("l").End(), "not followed");
  ExpectRefused(TarBytes().Symlink("l/x", "y").End(), "not followed");
  ExpectRefused(TarBytes().File("f", "").HardLink("l/x", "f").End(), "not followed");
}

TEST_F(TreeExtract, AFileReplacesALinkInsteadOfWritingThroughIt) {
  Link("../outside/secret", "to/l");
  ASSERT_TRUE(Extract(TarBytes().File("l", "new").End()));
  EXPECT_TRUE(S_ISREG(Status("to/l").st_mode));
}

TEST_F(TreeExtract, HardLinksLeadOnlyToFilesOfThisTar) {
  Write("to/mine", "there before");
  ExpectRefused(TarBytes().HardLink("x", "mine").End(), "no file that came before");
  ExpectRefused(TarBytes().HardLink("x", "../outside/secret").End(), "name");
  ExpectRefused(TarBytes().HardLink("x", "/etc/passwd").End(), "name");
  ExpectRefused(TarBytes().HardLink("x", "later").File("later", "").End(), "came before");
  ExpectRefused(TarBytes().Directory("d").HardLink("x", "d").End(), "came before");
  Link("../outside/secret", "to/l");
  ExpectRefused(TarBytes().HardLink("x", "l").End(), "came before");
  Link("../outside", "to/ld");
  ExpectRefused(TarBytes().HardLink("x", "ld/secret").End(), "came before");
}

// --- clashes -------------------------------------------------------------------------------------

TEST_F(TreeExtract, ANameComesOnlyOnce) {
  ExpectRefused(TarBytes().File("x", "1").File("x", "2").End(), "twice");
  EXPECT_EQ(Read("to/x"), "1");
  ExpectRefused(TarBytes().File("y", "1").File("z", "2").HardLink("z", "y").End(), "twice");
  ExpectRefused(TarBytes().File("w", "1").Symlink("w", "2").End(), "twice");
}

TEST_F(TreeExtract, AFileAndADirectoryDoNotReplaceEachOther) {
  ExpectRefused(TarBytes().Directory("d").File("d", "x").End(), "a directory is in the way");
  ExpectRefused(TarBytes().Directory("e").Symlink("e", "x").End(), "a directory is in the way");
  ExpectRefused(TarBytes().File("f", "x").Directory("f").End(), "no directory is in the way");
  ExpectRefused(TarBytes().File("g", "x").File("g/h", "").End(), "no directory is in the way");
}

TEST_F(TreeExtract, AFileThatWasThereIsReplacedWholeAndADirectoryStays) {
  Write("to/file", "old");
  ASSERT_EQ(::link((top + "/to/file").c_str(), (top + "/to/other-name").c_str()), 0);
  ASSERT_EQ(::mkdir((top + "/to/d").c_str(), 0700), 0);
  ASSERT_TRUE(Extract(TarBytes().File("file", "new").Directory("d").File("d/x", "").End()));
  EXPECT_EQ(Read("to/file"), "new");
  EXPECT_EQ(Read("to/other-name"), "old") << "not written through";
  EXPECT_EQ(Status("to/d").st_mode & 0777, 0700u);
  EXPECT_EQ(NamesIn("to"), (std::vector<std::string>{"d", "file", "other-name"}));
}

// --- what is not kept ----------------------------------------------------------------------------

TEST_F(TreeExtract, NothingRunsAsItsOwnerAndNothingSticks) {
  ASSERT_TRUE(Extract(
      TarBytes().Add({.name = "f", .mode = "0007755"}, "x").Directory("d", "0007777").End()));
  EXPECT_EQ(Status("to/f").st_mode & 07777, 0755u);
  EXPECT_EQ(Status("to/d").st_mode & 07777, 0777u);
}

TEST_F(TreeExtract, DevicesAndFifosAreCountedNotMade) {
  ASSERT_TRUE(
      Extract(TarBytes()
                  .Add({.type = '3', .name = "null", .major = "0000001", .minor = "0000003"})
                  .Add({.type = '4', .name = "disk"})
                  .Add({.type = '6', .name = "fifo"})
                  .File("file", "")
                  .End()));
  EXPECT_EQ(counts.skipped, 3u);
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>{"file"});
}

TEST_F(TreeExtract, OwnersAreTheCallers) {
  ASSERT_TRUE(Extract(TarBytes().Add({.name = "f", .uid = "0000007", .gid = "0000010"}).End()));
  EXPECT_EQ(Status("to/f").st_uid, ::geteuid());
}

TEST_F(TreeExtract, AttributesAreNotKept) {
  ASSERT_TRUE(Extract(TarBytes().Pax({{"SCHILY.xattr.user.test", "v"}}).File("f", "x").End()));
  EXPECT_LE(::flistxattr(base::OpenFile(top + "/to/f", O_RDONLY)->get(), nullptr, 0), 0);
}

// --- lies ----------------------------------------------------------------------------------------

TEST_F(TreeExtract, AFileThatIsCutShortNeverHasItsName) {
  const std::string tar = TarBytes().File("whole", "x").File("half", std::string(5000, 'x')).End();
  ExpectRefused(tar.substr(0, 4000), "cut short");
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>{"whole"});
}

TEST_F(TreeExtract, MoreThanWasAnnouncedIsNoHeader) {
  ExpectRefused(TarBytes().Add({.name = "f", .size = "00000000010"}, std::string(2000, 'x')).End(),
                "bad tar header");
}

TEST_F(TreeExtract, NothingFollowsTheEnd) {
  const std::string tar = TarBytes().File("f", "x").Symlink("l", "f").End();
  ExpectRefused(tar + "x", "after the end");
  ExpectRefused(tar + std::string(1 << 20, '\0'), "after the end");
  EXPECT_TRUE(Extract(tar + std::string(10240, '\0'), {.hostile = false}));
}

TEST_F(TreeExtract, ASparseMapThatLiesIsRefused) {
  for (const char* map : {"0,600", "0,512,100,512", "4096,512", "0,18446744073709551615"}) {
    const TarBytes::Records records = {{"GNU.sparse.size", "4096"}, {"GNU.sparse.map", map}};
    EXPECT_FALSE(Extract(TarBytes().Pax(records).File("s", std::string(512, 'x')).End())) << map;
  }
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>());
}

TEST_F(TreeExtract, HugeHolesTakeNoRoom) {
  const std::string size = std::to_string(uint64_t{1} << 40);
  ASSERT_TRUE(Extract(TarBytes()
                          .Pax({{"GNU.sparse.size", size}, {"GNU.sparse.map", "0,4"}})
                          .File("s", "data")
                          .End()));
  EXPECT_EQ(Status("to/s").st_size, int64_t{1} << 40);
  EXPECT_LT(Status("to/s").st_blocks, 100);
}

TEST_F(TreeExtract, ACopyThatWouldFillTheDiskEndsBefore) {
  const std::string tar = TarBytes().File("big", std::string(70 << 20, 'x')).End();
  ExpectRefused(tar, {.keep_free_bytes = std::numeric_limits<uint64_t>::max()}, "left on the disk");
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>());
}

TEST_F(TreeExtract, ManySmallThingsFillADiskAsWell) {
  TarBytes files, links;
  for (int i = 0; i < 6000; ++i) {
    files.File(fmt::format("f{}", i), "");
    links.Symlink(fmt::format("l{}", i), "target");
  }
  const ExtractPolicy policy = {.keep_free_bytes = std::numeric_limits<uint64_t>::max()};
  ExpectRefused(files.End(), policy, "left on the disk");
  EXPECT_LE(NamesIn("to").size(), 5000u);
  ExpectRefused(links.End(), policy, "left on the disk");
  EXPECT_LE(NamesIn("to").size(), 5000u);
}

TEST_F(TreeExtract, WhatIsNoFileIsNotReplaced) {
  ASSERT_EQ(::mkfifo((top + "/to/fifo").c_str(), 0600), 0);
  ExpectRefused(TarBytes().File("fifo", "x").End(), "in the way");
  ExpectRefused(TarBytes().Symlink("fifo", "x").End(), "in the way");
  EXPECT_TRUE(S_ISFIFO(Status("to/fifo").st_mode));
}

TEST_F(TreeExtract, TimesFromTheFarEndsAreTaken) {
  ASSERT_TRUE(Extract(TarBytes()
                          .Pax({{"mtime", "-1.5"}})
                          .File("old", "")
                          .Pax({{"mtime", "9223372036854775807"}})
                          .File("never", "")
                          .End()));
  EXPECT_EQ(Status("to/old").st_mtim.tv_sec, -2);
  EXPECT_EQ(Status("to/old").st_mtim.tv_nsec, 500'000'000);
}

// --- tars that are trusted more ------------------------------------------------------------------

TEST_F(TreeExtract, ATarOfOnesOwnMayRepeatNamesAndMeetLinks) {
  ASSERT_EQ(::mkdir((top + "/to/usr").c_str(), 0755), 0);
  Link("usr", "to/lib");
  const ExtractPolicy own{.hostile = false, .mode_mask = 07777};
  ASSERT_TRUE(Extract(TarBytes()
                          .Add({.name = "f", .mode = "0004755"}, "1")
                          .Add({.name = "f", .mode = "0004755"}, "2")
                          .Directory("lib")
                          .File("lib/x", "x")
                          .HardLink("g", "f")
                          .HardLink("g", "f")
                          .End(),
                      own));
  EXPECT_EQ(Read("to/f"), "2");
  EXPECT_EQ(Status("to/f").st_mode & 07777, 04755u);
  EXPECT_EQ(Read("to/usr/x"), "x");
  EXPECT_EQ(NamesIn("to"), (std::vector<std::string>{"f", "g", "lib", "usr"}));
  Link("../outside", "to/out");
  ExpectRefused(TarBytes().File("out/x", "").End(), own, "out of the destination");
}

// --- new files -----------------------------------------------------------------------------------

TEST_F(TreeExtract, AFileThatIsNotPublishedIsGone) {
  {
    NewFile file = NewFile::Create(root.get()).value();
    ASSERT_TRUE(base::WriteFull(file.fd(), "half"));
  }
  EXPECT_EQ(NamesIn("to"), std::vector<std::string>());
}

TEST_F(TreeExtract, WhatIsPackedIsExtracted) {
  ASSERT_TRUE(Extract(TarBytes().Directory("d").File("d/f", "1").HardLink("d/g", "d/f").End()));
  std::string tar;
  TreePacker packer(
      [&](std::string_view data) -> base::Status {
        tar += data;
        return {};
      },
      [](const std::string& path, const base::Error&) { ADD_FAILURE() << path; });
  ASSERT_TRUE(packer.Pack(top + "/to/d", {.name = "copy", .recursive = true}));
  ASSERT_TRUE(Extract(tar, {.only = "copy"}));
  EXPECT_EQ(Read("to/copy/f"), "1");
  EXPECT_EQ(Status("to/copy/f").st_nlink, 2u);
}

TEST_F(TreeExtract, ALinkIsNotFollowedBelowTheTopThatIsPacked) {
  ASSERT_EQ(::mkdir((top + "/to/d").c_str(), 0755), 0);
  Link("../../outside", "to/d/l");
  std::string tar;
  TreePacker packer(
      [&](std::string_view data) -> base::Status {
        tar += data;
        return {};
      },
      [](const std::string&, const base::Error&) {});
  ASSERT_TRUE(packer.Pack(top + "/to/d", {.recursive = true}));
  EXPECT_EQ(tar.find("untouched"), std::string::npos);
}

TEST_F(TreeExtract, PackingEndsWithItsSink) {
  ASSERT_TRUE(Extract(TarBytes().File("a", "").File("b", "").End()));
  TreePacker packer(
      [](std::string_view) -> base::Status {
        return base::Fail(base::ErrorCode::kClosed, "nobody listens");
      },
      [](const std::string& path, const base::Error&) { ADD_FAILURE() << path; });
  EXPECT_FALSE(packer.Pack(top + "/to", {.name = "x", .recursive = true}));
  EXPECT_TRUE(packer.sink_failed());
}

}  // namespace
}  // namespace msb::image
