// What several layers make together: whiteouts, replacement, links, and the volume they become.
#include "src/image/merge.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "src/image/testing/conversion.h"
#include "src/image/testing/tar_bytes.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using testing::Build;
using testing::TarBytes;
using testing::VolumeFile;

std::map<std::string, VolumeFile> Files(const std::vector<std::string>& layers) {
  auto files = Build(layers);
  EXPECT_TRUE(files) << files.error().message();
  return files ? *std::move(files) : std::map<std::string, VolumeFile>();
}

std::vector<std::string> Names(const std::vector<std::string>& layers) {
  std::vector<std::string> names;
  for (const auto& [name, file] : Files(layers)) {
    if (!name.empty()) names.push_back(name);
  }
  return names;
}

base::Error ErrorOf(const std::vector<std::string>& layers) {
  const auto files = Build(layers);
  EXPECT_FALSE(files);
  return files ? base::Fail(ErrorCode::kSystem, "accepted") : files.error();
}

using Strings = std::vector<std::string>;

TEST(Merge, AWhiteoutHidesWhatIsBelow) {
  const std::string below = TarBytes().File("d/a", "").File("d/b", "").File("e/c", "").End();
  EXPECT_EQ(Names({below, TarBytes().File("d/.wh.a", "").File(".wh.e", "").End()}),
            (Strings{"d", "d/b"}));
}

TEST(Merge, AWhiteoutDoesNotHideItsOwnLayerWhereverItStands) {
  const std::string below = TarBytes().File("d/old", "old").End();
  for (const std::string& above : {TarBytes().File(".wh.d", "").File("d/new", "new").End(),
                                   TarBytes().File("d/new", "new").File(".wh.d", "").End()}) {
    EXPECT_EQ(Names({below, above}), (Strings{"d", "d/new"}));
  }
  EXPECT_EQ(Files({TarBytes().File("a", "1").End(),
                   TarBytes().File(".wh.a", "").File("a", "2").End()})["a"]
                .content,
            "2");
}

TEST(Merge, AnOpaqueDirectoryHidesWhatIsInItBelowAndKeepsItself) {
  const std::string below =
      TarBytes().Directory("d/", "0000700").File("d/old", "").File("d/s/x", "").End();
  const std::string above = TarBytes().File("d/new", "").File("d/.wh..wh..opq", "").End();
  auto files = Files({below, above});
  EXPECT_TRUE(files.contains("d/new"));
  EXPECT_FALSE(files.contains("d/old"));
  EXPECT_FALSE(files.contains("d/s"));
  EXPECT_EQ(files["d"].mode, S_IFDIR | 0700);
  EXPECT_EQ(Names({below, TarBytes().File(".wh..wh..opq", "").File("n", "").End()}),
            (Strings{"n"}));
}

TEST(Merge, WhiteoutsOfNothingAndBookkeepingOfAufsAreIgnored) {
  EXPECT_EQ(Names({TarBytes().File("a", "").End(), TarBytes()
                                                       .File(".wh.none", "")
                                                       .File("no/where/.wh.x", "")
                                                       .File(".wh..wh.plnk", "")
                                                       .File("x/.wh..wh..opq", "")
                                                       .End()}),
            (Strings{"a"}));
}

TEST(Merge, ADirectoryOverADirectoryKeepsItsContentsAndTakesTheNewMetadata) {
  auto files = Files({TarBytes().Directory("d/", "0000700").File("d/a", "").End(),
                      TarBytes().Directory("d/", "0000711").End()});
  EXPECT_EQ(files["d"].mode, S_IFDIR | 0711);
  EXPECT_TRUE(files.contains("d/a"));
}

TEST(Merge, DirectoriesAndFilesReplaceEachOther) {
  const std::string directory = TarBytes().Directory("x/").File("x/a", "").End();
  const std::string file = TarBytes().File("x", "file").End();
  EXPECT_EQ(Names({directory, file}), (Strings{"x"}));
  EXPECT_EQ(Names({directory, file, directory}), (Strings{"x", "x/a"}));
  EXPECT_EQ(Names({directory, file, TarBytes().Directory("x/").End()}), (Strings{"x"}));
}

TEST(Merge, TheLastOfANameWins) {
  auto files =
      Files({TarBytes().File("a", "1").File("a", "2").Symlink("b", "x").File("b", "file").End()});
  EXPECT_EQ(files["a"].content, "2");
  EXPECT_EQ(files["b"].content, "file");
}

TEST(Merge, AReplacedFileKeepsItsOtherNames) {
  auto files = Files({TarBytes().File("a", "1").HardLink("b", "a").File("a", "2").End()});
  EXPECT_EQ(files["a"].content, "2");
  EXPECT_EQ(files["b"].content, "1");
  EXPECT_EQ(files["b"].links, 1u);
}

TEST(Merge, HardLinksReachEarlierLayersAlsoWhenTheFirstNameGoes) {
  const std::string below = TarBytes().File("old", "content").End();
  auto files = Files({below, TarBytes().HardLink("new", "old").End()});
  EXPECT_EQ(files["new"].content, "content");
  EXPECT_EQ(files["old"].links, 2u);
  for (const std::string& above : {TarBytes().HardLink("new", "/old").File(".wh.old", "").End(),
                                   TarBytes().File(".wh.old", "").HardLink("new", "old").End()}) {
    files = Files({below, above});
    EXPECT_EQ(files["new"].content, "content");
    EXPECT_FALSE(files.contains("old"));
    EXPECT_EQ(files["new"].links, 1u);
  }
}

TEST(Merge, HardLinksToNothingAndToDirectoriesAreRefusedByName) {
  const base::Error missing = ErrorOf({TarBytes().HardLink("a", "etc/passwd").End()});
  EXPECT_EQ(missing.code(), ErrorCode::kInvalid);
  EXPECT_NE(missing.message().find("layer 1: entry 'a'"), std::string::npos) << missing.message();
  EXPECT_EQ(ErrorOf({TarBytes().Directory("d/").HardLink("a", "d").End()}).code(),
            ErrorCode::kInvalid);
  EXPECT_EQ(ErrorOf({TarBytes().HardLink("a", "later").File("later", "").End()}).code(),
            ErrorCode::kInvalid);
}

TEST(Merge, ParentsThatAreLinksAreFollowedWithinTheImageOnly) {
  auto files = Files({TarBytes().Symlink("lib", "usr/lib").Directory("usr/lib/").End(),
                      TarBytes().File("lib/a", "a").End()});
  EXPECT_EQ(files["usr/lib/a"].content, "a");
  EXPECT_EQ(files["lib"].content, "usr/lib");
  files = Files({TarBytes().Symlink("out", "/../../etc").Symlink("up", "../../x").End(),
                 TarBytes().File("out/a", "a").File("up/b", "b").End()});
  EXPECT_EQ(files["etc/a"].content, "a");
  EXPECT_EQ(files["x/b"].content, "b");
  files = Files({TarBytes().Symlink("lib", "usr/lib").File("usr/lib/a", "").End(),
                 TarBytes().File("lib/.wh.a", "").End()});
  EXPECT_FALSE(files.contains("usr/lib/a"));
}

TEST(Merge, LinksInACircleAreRefused) {
  EXPECT_EQ(ErrorOf({TarBytes().Symlink("a", "b").Symlink("b", "a").File("a/x", "").End()}).code(),
            ErrorCode::kInvalid);
}

TEST(Merge, ADirectoryEntryOverALinkReplacesTheLink) {
  auto files = Files({TarBytes().Symlink("lib", "usr").End(), TarBytes().Directory("lib/").End()});
  EXPECT_TRUE(S_ISDIR(files["lib"].mode));
}

TEST(Merge, EntriesBelowAFileAreRefused) {
  EXPECT_EQ(ErrorOf({TarBytes().File("a", "").File("a/b", "").End()}).code(), ErrorCode::kInvalid);
}

TEST(Merge, DepthIsBoundedAlsoThroughLinks) {
  std::string deep;
  for (int i = 0; i < 1500; ++i) deep += i == 0 ? "d" : "/d";
  TarBytes tar;
  tar.Pax({{"path", deep}}).Directory("x/");
  tar.Pax({{"linkpath", deep}}).Symlink("l", "");
  tar.Pax({{"path", "l/" + deep}}).Directory("x/");
  EXPECT_EQ(ErrorOf({tar.End()}).code(), ErrorCode::kLimit);
}

TEST(Merge, WhatOverlayfsWouldMisreadIsEscapedOrRefused) {
  TarBytes tar;
  tar.Pax({{"SCHILY.xattr.trusted.overlay.opaque", "y"}, {"SCHILY.xattr.trusted.other", "1"}});
  tar.Directory("d/");
  auto files = Files({tar.End()});
  EXPECT_EQ(files["d"].xattrs, (std::map<std::string, std::string>{
                                   {"4:overlay.overlay.opaque", "y"}, {"4:other", "1"}}));
  const base::Error device = ErrorOf({TarBytes().Add({.type = '3', .name = "dev/gone"}).End()});
  EXPECT_EQ(device.code(), ErrorCode::kUnsupported);
  EXPECT_NE(device.message().find("'dev/gone'"), std::string::npos);
}

TEST(Merge, DirectoriesOfEverySizeAreSortedAcrossTheirBlocks) {
  for (const int count : {0, 1, 60, 61, 62, 200, 3000}) {
    TarBytes tar;
    tar.Directory("d/").File("d/!before-dot", "").File("d/~after", "");
    for (int i = 0; i < count; ++i) {
      tar.File(fmt::format("d/{}{}", (i * 7919) % count, std::string(i % 70, 'x')), "");
    }
    EXPECT_GE(Files({tar.End()}).size(), static_cast<size_t>(count + 4)) << count;
  }
}

TEST(Merge, LongLinksAndManyAttributesHaveBlocksOfTheirOwn) {
  const std::string target(4095, 't');
  TarBytes tar;
  tar.Pax({{"linkpath", target}}).Symlink("long", "");
  tar.Pax({{"SCHILY.xattr.user.big", std::string(60000, 'v')}}).Directory("d/");
  for (int i = 0; i < 300; ++i) tar.File(fmt::format("d/{:0100}", i), "");
  tar.Pax({{"SCHILY.xattr.user.big", std::string(5000, 'v')}}).Symlink("s", "short");
  auto files = Files({tar.End()});
  EXPECT_EQ(files["long"].content, target);
  EXPECT_EQ(files["d"].xattrs["1:big"].size(), 60000u);
  EXPECT_EQ(files["s"].content, "short");
}

TEST(Merge, ContentsComeFromTheLayerThatHasThem) {
  auto files =
      Files({TarBytes().File("a", std::string(5000, 'a')).End(), TarBytes().File("b", "b").End(),
             TarBytes().Directory("only-names/").End(), TarBytes().File("c", "c").End()});
  EXPECT_EQ(files["a"].content, std::string(5000, 'a'));
  EXPECT_EQ(files["b"].content, "b");
  EXPECT_EQ(files["c"].content, "c");
}

TEST(Merge, AnImageWithoutLayersIsAnEmptyRoot) {
  const auto files = Files({});
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files.at("").mode, S_IFDIR | 0755);
}

TEST(Merge, AddressesBeyondFourGibibytesAreRight) {
  // Indexes that claim large blobs; nothing is stored.
  IndexHeader header;
  header.entries = 1;
  header.blob_bytes = uint64_t{6} << 30;
  Entry entry;
  entry.path = "big";
  entry.size = (uint64_t{6} << 30) - 8192;
  entry.blob_offset = 4096;
  std::string record;
  AppendRecord(entry, record);
  header.record_bytes = record.size();
  const testing::ConvertedLayer first{"", EncodeHeader(header) + record};
  std::string second_record;
  entry.path = "second";
  entry.blob_offset = uint64_t{5} << 30;
  entry.size = 1;
  AppendRecord(entry, second_record);
  header.record_bytes = second_record.size();
  const auto volume = testing::Merge({first, {"", EncodeHeader(header) + second_record}});
  ASSERT_TRUE(volume) << volume.error().message();
  // The metadata is one block; the second file is 6 + 5 GiB after it.
  ASSERT_EQ(volume->size(), kBlockSize);
  const uint32_t expected = 1 + (uint32_t{11} << 18);
  EXPECT_NE(volume->find(std::string(reinterpret_cast<const char*>(&expected), 4)),
            std::string::npos);
}

TEST(Merge, IndexesThatLieAreRefused) {
  const auto good = testing::Convert(TarBytes().File("a", "x").Symlink("b", "y").End());
  ASSERT_TRUE(good);
  for (size_t cut :
       {size_t{10}, kIndexHeaderSize - 1, kIndexHeaderSize + 10, good->index.size() - 1}) {
    EXPECT_FALSE(testing::Merge({{"", good->index.substr(0, cut)}})) << cut;
  }
  EXPECT_FALSE(testing::Merge({{"", good->index + "x"}}));
  // One byte changed anywhere: refused, or a volume that still reads well.
  for (size_t at = 0; at < good->index.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      testing::ConvertedLayer bad = *good;
      bad.index[at] = static_cast<char>(bad.index[at] ^ flip);
      const auto header = DecodeHeader(bad.index);
      if (!header || header->blob_bytes > (1 << 20)) continue;
      bad.blob.resize(header->blob_bytes);
      const auto volume = testing::Merge({bad});
      if (volume) EXPECT_TRUE(testing::ReadVolume(*volume)) << at;
    }
  }
}

}  // namespace
}  // namespace msb::image
