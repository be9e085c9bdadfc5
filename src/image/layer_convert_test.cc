// Every rule for what a layer may contain, each with a tar that keeps or breaks it.
#include "src/image/layer_convert.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "src/image/sha256.h"
#include "src/image/testing/conversion.h"
#include "src/image/testing/tar_bytes.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using testing::Build;
using testing::Convert;
using testing::Gzip;
using testing::RawHeader;
using testing::TarBytes;
using testing::VolumeFile;
using testing::Zstd;

const std::string kGnuMagic("ustar  \0", 8);

std::map<std::string, VolumeFile> Files(const std::string& tar) {
  auto files = Build({tar});
  EXPECT_TRUE(files) << files.error().message();
  return files ? *std::move(files) : std::map<std::string, VolumeFile>();
}

ErrorCode CodeOf(const std::string& tar, const LayerLimits& limits = {}) {
  const auto layer = Convert(tar, limits);
  EXPECT_FALSE(layer);
  return layer ? ErrorCode::kSystem : layer.error().code();
}

std::string MessageOf(const std::string& tar) {
  const auto layer = Convert(tar);
  return layer ? "accepted" : layer.error().message();
}

// --- contents ------------------------------------------------------------------------------------

TEST(Layer, ContentsAreAlignedZeroPaddedAndInTarOrder) {
  const auto layer = Convert(TarBytes().File("b", "first").File("a", "second").End());
  ASSERT_TRUE(layer);
  ASSERT_EQ(layer->blob.size(), 2 * kBlockSize);
  EXPECT_EQ(layer->blob.substr(0, 6), std::string("first\0", 6));
  EXPECT_EQ(layer->blob.substr(kBlockSize, 6), "second");
  EXPECT_EQ(layer->blob.find_first_not_of('\0', kBlockSize + 6), std::string::npos);
}

TEST(Layer, TheDiffIdIsTheHashOfTheUncompressedTarWithWhatFollowsItsEnd) {
  const std::string tar = TarBytes().File("a", "x").End() + std::string(4096, '\0');
  for (const std::string& layer : {tar, Gzip(tar), Zstd(tar)}) {
    const auto converted = Convert(layer);
    ASSERT_TRUE(converted) << converted.error().message();
    const auto header = DecodeHeader(converted->index);
    EXPECT_EQ(ToDigest(header->diff_id), DigestOf(tar));
    EXPECT_EQ(header->tar_bytes, tar.size());
  }
}

TEST(Layer, CompressionIsRecognizedByItsBytesWhateverTheFrames) {
  const std::string tar = TarBytes().File("a", std::string(100000, 'x')).End();
  const std::string half = tar.substr(0, 40000);
  const std::string rest = tar.substr(40000);
  const std::string skippable("\x50\x2a\x4d\x18\x04\0\0\0abcd", 12);
  for (const std::string& layer : {tar, Gzip(tar), Gzip(half) + Gzip(rest), Zstd(tar),
                                   Zstd(half) + Zstd(rest), Zstd(half) + skippable + Zstd(rest),
                                   skippable + Zstd(tar), Gzip(tar) + std::string(512, '\0')}) {
    const auto converted = Convert(layer);
    ASSERT_TRUE(converted) << converted.error().message();
    EXPECT_EQ(converted->blob.substr(0, 100000), std::string(100000, 'x'));
  }
}

TEST(Layer, DamagedCompressionIsRefused) {
  const std::string tar = TarBytes().File("a", std::string(100000, 'x')).End();
  for (const std::string& good : {Gzip(tar), Zstd(tar)}) {
    EXPECT_EQ(CodeOf(good.substr(0, good.size() - 3)), ErrorCode::kCorrupt);
    EXPECT_EQ(CodeOf(good + "garbage"), ErrorCode::kCorrupt);
    std::string flipped = good;
    flipped[good.size() / 2] ^= 0x55;
    EXPECT_EQ(CodeOf(flipped), ErrorCode::kCorrupt);
  }
  EXPECT_NE(MessageOf(std::string("\xfd"
                                  "7zXZ\0",
                                  6))
                .find("xz"),
            std::string::npos);
  EXPECT_NE(MessageOf("BZh9abcdef").find("bzip2"), std::string::npos);
}

TEST(Layer, WhatIsNoTarIsSaidToBeNone) {
  EXPECT_NE(MessageOf(std::string(600, 'x')).find("not a tar"), std::string::npos);
  EXPECT_NE(MessageOf("").find("not a tar"), std::string::npos);
  EXPECT_EQ(CodeOf("short"), ErrorCode::kCorrupt);
}

TEST(Layer, ATarThatIsCutShortIsRefused) {
  const std::string tar = TarBytes().File("a", std::string(2000, 'x')).bytes();
  EXPECT_EQ(CodeOf(tar.substr(0, 1500)), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf(tar.substr(0, tar.size() + 300 - 512)), ErrorCode::kCorrupt);
  EXPECT_TRUE(Convert(tar));  // many writers leave out the end
  const size_t contents_end = 512 + 2000;
  EXPECT_TRUE(Convert(tar.substr(0, contents_end)));  // umoci's insert leaves out the padding, too
  EXPECT_EQ(CodeOf(tar.substr(0, contents_end - 1)), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf(tar.substr(0, contents_end + 1)), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"path", "long"}}).bytes()), ErrorCode::kCorrupt);
}

TEST(Layer, ABadChecksumOrALoneZeroBlockIsRefused) {
  EXPECT_EQ(CodeOf(TarBytes().File("a", "x").Add({.name = "b", .checksum = "000001"}).End()),
            ErrorCode::kCorrupt);
  const std::string zero(512, '\0');
  EXPECT_EQ(CodeOf(TarBytes().File("a", "x").Raw(zero).File("b", "y").End()), ErrorCode::kCorrupt);
}

// --- metadata ------------------------------------------------------------------------------------

TEST(Layer, EveryKindOfEntryArrivesWithItsMetadata) {
  TarBytes tar;
  tar.Directory("d/", "0001777");
  tar.Add({.name = "d/f",
           .mode = "0004755",
           .uid = "0000012",
           .gid = "0000034",
           .mtime = "00000001750"},
          "hello");
  tar.Symlink("d/s", "../f");
  tar.HardLink("d/h", "d/f");
  tar.Add({.type = '3', .name = "c", .major = "0000001", .minor = "0000407"});
  tar.Add({.type = '4', .name = "b", .major = "0000010", .minor = "0000000"});
  tar.Add({.type = '6', .name = "p"});
  auto files = Files(tar.End());
  EXPECT_EQ(files["d"].mode, S_IFDIR | 01777);
  EXPECT_EQ(files["d"].links, 2u);
  EXPECT_EQ(files[""].links, 3u);
  EXPECT_EQ(files["d/f"].mode, S_IFREG | 04755);
  EXPECT_EQ(files["d/f"].uid, 10u);
  EXPECT_EQ(files["d/f"].gid, 28u);
  EXPECT_EQ(files["d/f"].mtime, 1000);
  EXPECT_EQ(files["d/f"].content, "hello");
  EXPECT_EQ(files["d/f"].links, 2u);
  EXPECT_EQ(files["d/h"].inode, files["d/f"].inode);
  EXPECT_EQ(files["d/s"].content, "../f");
  EXPECT_EQ(files["d/s"].mode, S_IFLNK | 0777);
  EXPECT_EQ(files["c"].device, (0x07u | 1u << 8 | 0x100u << 12));
  EXPECT_TRUE(S_ISBLK(files["b"].mode));
  EXPECT_TRUE(S_ISFIFO(files["p"].mode));
}

TEST(Layer, LargeOwnersAndOddTimesAreKept) {
  TarBytes tar;
  tar.Pax({{"uid", "4000000000"}, {"gid", "70000"}, {"mtime", "-1.25"}}).File("a", "");
  tar.Pax({{"mtime", "5000000000.123456789123"}}).File("b", "");
  tar.Add({.name = "c",
           .uid = std::string("\x80\0\0\0\0\1\0\0", 8),
           .mtime = std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12)});
  auto files = Files(tar.End());
  EXPECT_EQ(files["a"].uid, 4000000000u);
  EXPECT_EQ(files["a"].gid, 70000u);
  EXPECT_EQ(files["a"].mtime, -2);
  EXPECT_EQ(files["a"].mtime_nsec, 750'000'000u);
  EXPECT_EQ(files["b"].mtime, 5'000'000'000);
  EXPECT_EQ(files["b"].mtime_nsec, 123'456'789u);
  EXPECT_EQ(files["c"].uid, 65536u);
  EXPECT_EQ(files["c"].mtime, -2);
}

TEST(Layer, OwnersThatLinuxDoesNotHaveAreRefused) {
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"uid", "4294967295"}}).File("a", "").End()),
            ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"gid", "-1"}}).File("a", "").End()), ErrorCode::kInvalid);
}

TEST(Layer, AttributesAndCapabilitiesAreKeptFromBothSpellings) {
  const std::string capability("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  TarBytes tar;
  tar.Pax({{"SCHILY.xattr.user.a", "1"},
           {"SCHILY.xattr.security.capability", capability},
           {"SCHILY.xattr.system.posix_acl_access", "acl"}})
      .File("a", "");
  tar.Pax({{"LIBARCHIVE.xattr.user.b%3d", "YWI"}}).File("b", "");
  tar.Pax({{"SCHILY.xattr.com.apple.quarantine", "x"}}).File("c", "");
  auto files = Files(tar.End());
  EXPECT_EQ(files["a"].xattrs, (std::map<std::string, std::string>{
                                   {"1:a", "1"}, {"6:capability", capability}, {"2:", "acl"}}));
  EXPECT_EQ(files["b"].xattrs, (std::map<std::string, std::string>{{"1:b=", "ab"}}));
  EXPECT_TRUE(files["c"].xattrs.empty());
  EXPECT_EQ(DecodeHeader(Convert(tar.End())->index)->left_out_xattrs, 1u);
}

TEST(Layer, AttributesBeyondTheLimitsAreRefused) {
  const auto with = [](const std::string& key, const std::string& value) {
    return TarBytes().Pax({{"SCHILY.xattr." + key, value}}).File("a", "").End();
  };
  EXPECT_EQ(CodeOf(with("user.a", std::string(65536, 'x'))), ErrorCode::kLimit);
  EXPECT_TRUE(Convert(with("user.a", std::string(65535, 'x'))));
  EXPECT_EQ(CodeOf(with("user." + std::string(255, 'a'), "x")), ErrorCode::kLimit);
  TarBytes::Records many;
  for (int i = 0; i < 600; ++i) many.push_back({fmt::format("SCHILY.xattr.user.{}", i), "x"});
  EXPECT_EQ(CodeOf(TarBytes().Pax(many).File("a", "").End()), ErrorCode::kLimit);
}

// --- names ---------------------------------------------------------------------------------------

TEST(Layer, NamesAreBytesHoweverTheyAreStored) {
  const std::string umlaut = "\xc3\xa4";
  const std::string latin = "\xe4";
  const std::string length(200, 'n');
  TarBytes tar;
  tar.File(umlaut, "").File(latin, "").File("new\nline", "");
  tar.Pax({{"path", "pax/" + length}}).File("short", "pax");
  tar.GnuLong('L', "gnu/" + length).Add({.name = "short", .magic = kGnuMagic}, "gnu");
  tar.GnuLong('K', length).Add({.type = '2', .name = "s", .magic = kGnuMagic});
  tar.Add({.name = "file", .tail = "pre/fix"}, "prefix");
  auto files = Files(tar.End());
  EXPECT_TRUE(files.contains(umlaut));
  EXPECT_EQ(files["pax/" + length].content, "pax");
  EXPECT_EQ(files["gnu/" + length].content, "gnu");
  EXPECT_EQ(files["s"].content, length);
  EXPECT_EQ(files["pre/fix/file"].content, "prefix");
  EXPECT_TRUE(files.contains(latin));
  EXPECT_TRUE(files.contains("new\nline"));
}

TEST(Layer, TheRootOfALayerIsTheRootOfTheImage) {
  TarBytes tar;
  tar.Directory("./", "0000700").File("/absolute", "a").File("./dot", "d").File("x//y/./z", "z");
  auto files = Files(tar.End());
  EXPECT_EQ(files[""].mode, S_IFDIR | 0700);
  EXPECT_EQ(files["absolute"].content, "a");
  EXPECT_EQ(files["dot"].content, "d");
  EXPECT_EQ(files["x/y/z"].content, "z");
}

TEST(Layer, NamesThatWouldLeaveTheImageAreRefused) {
  for (const char* name : {"../a", "a/../../b", "/..", "a/..", ".."}) {
    EXPECT_EQ(CodeOf(TarBytes().File(name, "x").End()), ErrorCode::kInvalid) << name;
  }
  EXPECT_EQ(CodeOf(TarBytes().File("a", "").HardLink("b", "../a").End()), ErrorCode::kInvalid);
  EXPECT_NE(MessageOf(TarBytes().File("../a", "").End()).find("'../a'"), std::string::npos);
}

TEST(Layer, NamesWithNulAreRefused) {
  const std::string name("a\0b", 3);
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"path", name}}).File("x", "").End()), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"linkpath", name}}).Symlink("x", "").End()),
            ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf(TarBytes().GnuLong('L', name).File("x", "").End()), ErrorCode::kCorrupt);
}

TEST(Layer, NamesBeyondTheLimitsAreRefused) {
  const auto with = [](const std::string& path) {
    return TarBytes().Pax({{"path", path}}).File("x", "").End();
  };
  EXPECT_TRUE(Convert(with(std::string(255, 'a'))));
  EXPECT_EQ(CodeOf(with(std::string(256, 'a'))), ErrorCode::kLimit);
  std::string deep;
  while (deep.size() < 4096) deep += "aaaaaaa/";
  EXPECT_EQ(CodeOf(with(deep + "b")), ErrorCode::kLimit);
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"linkpath", std::string(4096, 'a')}}).Symlink("x", "").End()),
            ErrorCode::kLimit);
}

TEST(Layer, ARootThatIsNoDirectoryIsRefused) {
  EXPECT_EQ(CodeOf(TarBytes().File(".", "x").End()), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(TarBytes().Symlink("./", "/etc").End()), ErrorCode::kInvalid);
  EXPECT_EQ(CodeOf(TarBytes().File("", "x").End()), ErrorCode::kInvalid);
}

TEST(Layer, WhiteoutsOfNothingAreRefused) {
  for (const char* name : {".wh.", "a/.wh..", "a/.wh..."}) {
    EXPECT_EQ(CodeOf(TarBytes().File(name, "").End()), ErrorCode::kInvalid) << name;
  }
}

// --- sparse files --------------------------------------------------------------------------------

constexpr uint64_t kSparseSize = 40 * kBlockSize + 100;

void ExpectSparse(VolumeFile& file) {
  EXPECT_EQ(file.size, kSparseSize);
  ASSERT_EQ(file.content.size(), kSparseSize);
  EXPECT_EQ(file.content.substr(20 * kBlockSize + 10, 5), "hello");
  EXPECT_EQ(file.content.substr(kSparseSize - 3), "end");
  EXPECT_GT(file.hole_bytes, 35 * kBlockSize);
  std::string rest = file.content;
  rest.replace(20 * kBlockSize + 10, 5, 5, '\0').replace(kSparseSize - 3, 3, 3, '\0');
  EXPECT_EQ(rest.find_first_not_of('\0'), std::string::npos);
}

const uint64_t kHelloAt = 20 * kBlockSize + 10;
const std::string kSparseMap = fmt::format("{},5,{},3", kHelloAt, kSparseSize - 3);

TEST(Layer, SparseFilesOfEveryFormatKeepTheirHoles) {
  TarBytes tar;
  tar.Pax({{"GNU.sparse.size", std::to_string(kSparseSize)},
           {"GNU.sparse.numblocks", "2"},
           {"GNU.sparse.offset", std::to_string(kHelloAt)},
           {"GNU.sparse.numbytes", "5"},
           {"GNU.sparse.offset", std::to_string(kSparseSize - 3)},
           {"GNU.sparse.numbytes", "3"}});
  tar.File("v00", "helloend");
  tar.Pax({{"GNU.sparse.size", std::to_string(kSparseSize)},
           {"GNU.sparse.map", kSparseMap},
           {"GNU.sparse.name", "v01"}});
  tar.File("GNUSparseFile/v01", "helloend");
  std::string map = fmt::format("2\n{}\n5\n{}\n3\n", kHelloAt, kSparseSize - 3);
  map.resize(512);
  tar.Pax({{"GNU.sparse.major", "1"},
           {"GNU.sparse.minor", "0"},
           {"GNU.sparse.name", "v10"},
           {"GNU.sparse.realsize", std::to_string(kSparseSize)}});
  tar.File("GNUSparseFile/v10", map + "helloend");
  std::string old(167, '\0');
  const auto octal = [&](size_t at, uint64_t value) {
    old.replace(at - 345, 11, fmt::format("{:011o}", value));
  };
  octal(386, kHelloAt);
  octal(398, 5);
  octal(410, kSparseSize - 3);
  octal(422, 3);
  octal(483, kSparseSize);
  tar.Add({.type = 'S', .name = "old", .magic = kGnuMagic, .tail = old}, "helloend");
  tar.File("after", "still in step");
  auto files = Files(tar.End());
  for (const char* name : {"v00", "v01", "v10", "old"}) {
    SCOPED_TRACE(name);
    ExpectSparse(files[name]);
  }
  EXPECT_EQ(files["after"].content, "still in step");
}

TEST(Layer, ASparseFileThatIsAllHoleTakesNoSpace) {
  TarBytes tar;
  tar.Pax({{"GNU.sparse.size", "5000000000000"}, {"GNU.sparse.map", ""}}).File("a", "");
  const auto layer = Convert(tar.End());
  ASSERT_TRUE(layer) << layer.error().message();
  EXPECT_TRUE(layer->blob.empty());
  const auto files = Build({tar.End()});
  EXPECT_EQ(files->at("a").size, 5'000'000'000'000u);
  EXPECT_EQ(files->at("a").hole_bytes, 5'000'000'000'000u);
}

TEST(Layer, SparseMapsThatLieAreRefused) {
  const auto with = [](const std::string& size, const std::string& map) {
    return TarBytes()
        .Pax({{"GNU.sparse.size", size}, {"GNU.sparse.map", map}})
        .File("a", "12345678")
        .End();
  };
  EXPECT_TRUE(Convert(with("100", "0,4,10,4")));
  EXPECT_EQ(CodeOf(with("100", "10,4,0,4")), ErrorCode::kCorrupt);  // out of order
  EXPECT_EQ(CodeOf(with("100", "0,4,2,4")), ErrorCode::kCorrupt);   // overlapping
  EXPECT_EQ(CodeOf(with("10", "0,4,8,4")), ErrorCode::kCorrupt);    // beyond the end
  EXPECT_EQ(CodeOf(with("100", "0,4")), ErrorCode::kCorrupt);       // less than is stored
  EXPECT_EQ(CodeOf(with("100", "0,4,10")), ErrorCode::kCorrupt);    // half a pair
  EXPECT_EQ(CodeOf(with("100", "18446744073709551615,8")), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf(with("99999999999999999", "0,8")), ErrorCode::kLimit);
}

TEST(Layer, AFewBytesFarApartCannotBecomeManyGigabytes) {
  std::string map;
  const uint64_t step = uint64_t{1} << 26;
  for (int i = 0; i < 5000; ++i) map += fmt::format("{}{},1", i == 0 ? "" : ",", i * step);
  const std::string tar =
      TarBytes()
          .Pax({{"GNU.sparse.size", std::to_string(5000 * step)}, {"GNU.sparse.map", map}})
          .File("a", std::string(5000, 'x'))
          .End();
  LayerLimits limits;
  limits.max_tar_bytes = 1 << 30;
  EXPECT_EQ(CodeOf(tar, limits), ErrorCode::kLimit);
}

// --- dialects ------------------------------------------------------------------------------------

TEST(Layer, OldTarsAreRead) {
  TarBytes tar;
  tar.Add({.type = '\0', .name = "dir/", .magic = ""});
  tar.Add({.type = '\0', .name = "dir/file", .mode = " 100644 ", .uid = "     1 ", .magic = ""},
          "v7");
  auto files = Files(tar.End());
  EXPECT_TRUE(S_ISDIR(files["dir"].mode));
  EXPECT_EQ(files["dir/file"].content, "v7");
  EXPECT_EQ(files["dir/file"].uid, 1u);
}

TEST(Layer, LinksDirectoriesAndDevicesHaveNoContentsWhateverTheirSizeSays) {
  TarBytes tar;
  tar.File("f", "x");
  for (const char type : {'1', '2', '3', '5', '6'}) {
    tar.Add({.type = type,
             .name = std::string("n") + type,
             .link = "f",
             .size = "00000001000",
             .major = "0000001"});
  }
  tar.File("after", "in step");
  EXPECT_EQ(Files(tar.End())["after"].content, "in step");
}

TEST(Layer, GlobalHeadersApplyToWhatFollowsAndCommentsMeanNothing) {
  TarBytes tar;
  tar.Pax({{"comment", "0123"}, {"mtime", "77"}}, 'g').File("a", "");
  tar.Pax({{"mtime", "78"}}).File("b", "");
  auto files = Files(tar.End());
  EXPECT_EQ(files["a"].mtime, 77);
  EXPECT_EQ(files["b"].mtime, 78);
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"path", "x"}}, 'g').File("a", "").End()),
            ErrorCode::kUnsupported);
}

TEST(Layer, MalformedExtendedHeadersAreRefused) {
  for (const std::string data :
       {"99 path=x\n", "0 a=b\n", "8 path=x", "x path=a\n", "9 nokey\n\n", "7 path\n",
        "19 size=99999999999999999999\n", "12 uid=12x\n", "20 mtime=1.2.3.4.5\n"}) {
    EXPECT_FALSE(Convert(TarBytes().Add({.type = 'x', .name = "p"}, data).File("a", "").End()))
        << data;
  }
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"path", "x"}}).End()), ErrorCode::kCorrupt);  // before nothing
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"comment", std::string(2 << 20, 'x')}}).File("a", "").End()),
            ErrorCode::kLimit);
}

TEST(Layer, EntriesOfUnknownKindsAreRefusedByName) {
  EXPECT_EQ(CodeOf(TarBytes().Add({.type = 'Z', .name = "odd"}).End()), ErrorCode::kUnsupported);
  EXPECT_NE(MessageOf(TarBytes().Add({.type = 'Z', .name = "odd"}).End()).find("'odd'"),
            std::string::npos);
}

// --- limits --------------------------------------------------------------------------------------

TEST(Layer, TooManyEntriesAreRefused) {
  TarBytes tar;
  for (int i = 0; i < 11; ++i) tar.File(std::to_string(i), "");
  LayerLimits limits;
  limits.max_entries = 10;
  EXPECT_EQ(CodeOf(tar.End(), limits), ErrorCode::kLimit);
}

TEST(Layer, WhatExpandsBeyondTheLimitIsRefused) {
  LayerLimits limits;
  limits.max_tar_bytes = 1 << 20;
  const std::string bomb = TarBytes().File("a", std::string(2 << 20, '\0')).End();
  EXPECT_EQ(CodeOf(Gzip(bomb), limits), ErrorCode::kLimit);
  EXPECT_EQ(CodeOf(Zstd(bomb), limits), ErrorCode::kLimit);
}

TEST(Layer, ASizeBeyondAllMeasureIsRefused) {
  EXPECT_EQ(CodeOf(TarBytes().Pax({{"size", "18446744073709551615"}}).File("a", "").End()),
            ErrorCode::kLimit);
  EXPECT_EQ(
      CodeOf(TarBytes()
                 .Add({.name = "a",
                       .size = std::string("\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)})
                 .End()),
      ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace msb::image
