// Docker-archives made here byte by byte, as Docker's versions write them and as nobody should.
#include "src/image/docker_archive.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/image/store.h"
#include "src/image/testing/store_fixture.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::json::Array;
using base::json::Object;
using testing::Gzip;
using testing::Layout;
using testing::Tar;
using testing::TarBytes;

std::string Config(const std::vector<std::string>& tars) {
  Array diff_ids;
  for (const std::string& tar : tars) diff_ids.push_back(base::json::Value(DigestOf(tar)));
  return base::json::WriteValue(Object{{"architecture", "amd64"},
                                       {"os", "linux"},
                                       {"config", {{"Cmd", Array{"sh"}}}},
                                       {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}});
}

std::string ConfigName(const std::string& config) {
  return std::string(DigestHex(DigestOf(config))) + ".json";
}

std::string ManifestJson(const std::string& config, const base::json::Value& tags,
                         const Array& layers) {
  return base::json::WriteValue(
      Array{Object{{"Config", config}, {"RepoTags", tags}, {"Layers", layers}}});
}

class DockerArchiveTest : public testing::StoreTest {
 protected:
  base::Result<std::vector<LoadedImage>> LoadArchive(const std::string& bytes,
                                                     const std::vector<std::string>& tags = {}) {
    layout_->Write("archive", bytes);
    return LoadPath(layout_->path() + "/archive", tags);
  }

  // An archive with one image "a" of one layer whose path `layer` says, after `members`.
  base::Result<std::vector<LoadedImage>> LoadWithLayer(TarBytes members, const std::string& layer) {
    members.File(ConfigName(config_), config_);
    members.File("manifest.json", ManifestJson(ConfigName(config_), Array{"a:1"}, Array{layer}));
    return LoadArchive(members.End());
  }

  void ExpectRefused(const base::Result<std::vector<LoadedImage>>& loaded,
                     const std::string& message) {
    ASSERT_FALSE(loaded) << "accepted, but expected: " << message;
    EXPECT_NE(loaded.error().message().find(message), std::string::npos)
        << loaded.error().message();
    ExpectNothingVisible();
    EXPECT_TRUE(FilesIn(kConvertedDirectory).empty());
  }

  std::string tar_ = Tar("content");
  std::string config_ = Config({tar_});
};

TEST_F(DockerArchiveTest, LayersInDirectoriesOfTheirOwnAreLoadedAsOlderDockersWroteThem) {
  TarBytes archive;
  archive.Directory("1234").File("1234/VERSION", "1.0").File("1234/json", "{}");
  archive.File("1234/layer.tar", tar_).File("repositories", R"({"a":{"1":"1234"}})");
  const auto loaded = LoadWithLayer(archive, "1234/layer.tar");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->front().names, std::vector<std::string>{"docker.io/library/a:1"});
  const auto image = Open("a:1");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->digest, loaded->front().digest);
  EXPECT_EQ(image->config.cmd, std::vector<std::string>{"sh"});
  EXPECT_EQ(Problems(), 0u);
}

TEST_F(DockerArchiveTest, ALayerMayBeALinkToTheSameLayerElsewhere) {
  for (const char* target : {"../first/layer.tar", "./../second/../first/./layer.tar", "other"}) {
    TarBytes archive;
    archive.File("first/layer.tar", tar_);
    archive.Symlink("second/other", "../first/layer.tar").Symlink("second/layer.tar", target);
    const auto loaded = LoadWithLayer(archive, "second/layer.tar");
    ASSERT_TRUE(loaded) << target << ": " << loaded.error().message();
  }
  TarBytes through_directory;
  through_directory.File("first/layer.tar", tar_).Symlink("second", "first");
  EXPECT_TRUE(LoadWithLayer(through_directory, "second/layer.tar"));
  TarBytes hard;
  hard.File("first/layer.tar", tar_).HardLink("second/layer.tar", "first/layer.tar");
  EXPECT_TRUE(LoadWithLayer(hard, "second/layer.tar"));
}

TEST_F(DockerArchiveTest, TheSameArchiveGivesTheSameDigestAndAnUncompressedLayerIsFoundAgain) {
  const auto first = LoadWithLayer(TarBytes().File("x", tar_), "x");
  const auto again =
      LoadWithLayer(TarBytes().File("elsewhere/layer.tar", tar_), "elsewhere/layer.tar");
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->front().digest, again->front().digest);
  const auto blobs = FilesIn(kBlobsDirectory);
  EXPECT_EQ(blobs.size(), 3u);  // layer, configuration, manifest
  EXPECT_EQ(std::ranges::count(blobs, std::string(DigestHex(DigestOf(tar_)))), 1);
}

TEST_F(DockerArchiveTest, ACompressedLayerIsKeptAsItIsUnderItsOwnDigest) {
  const std::string compressed = Gzip(tar_);
  ASSERT_TRUE(LoadWithLayer(TarBytes().File("l", compressed), "l"));
  EXPECT_EQ(
      std::ranges::count(FilesIn(kBlobsDirectory), std::string(DigestHex(DigestOf(compressed)))),
      1);
  const auto entry = OpenStore().Find("a:1");
  const auto text = OpenStore().ReadBlob(entry->manifest.digest);
  EXPECT_NE(text->find("layer.v1.tar+gzip"), std::string::npos);
}

TEST_F(DockerArchiveTest, EveryImageAndTagIsLoadedAndWhatHasNoTagIsKnownByItsDigest) {
  const std::string other = Config({tar_, tar_});
  TarBytes archive;
  archive.File("l", tar_).File(ConfigName(config_), config_).File(ConfigName(other), other);
  archive.File("manifest.json", base::json::WriteValue(
                                    Array{Object{{"Config", ConfigName(config_)},
                                                 {"RepoTags", Array{"a:1", "ghcr.io/x/y:2", "a:1"}},
                                                 {"Layers", Array{"l"}}},
                                          Object{{"Config", ConfigName(other)},
                                                 {"RepoTags", nullptr},
                                                 {"Layers", Array{"l", "l"}}}}));
  const auto loaded = LoadArchive(archive.End());
  ASSERT_TRUE(loaded) << loaded.error().message();
  ASSERT_EQ(loaded->size(), 2u);
  EXPECT_EQ(loaded->at(0).names,
            (std::vector<std::string>{"docker.io/library/a:1", "ghcr.io/x/y:2"}));
  EXPECT_TRUE(loaded->at(1).names.empty());
  EXPECT_TRUE(Open(loaded->at(1).digest));
  EXPECT_EQ(LoadArchive(archive.End(), {"docker.io/library/b:1"}).error().code(),
            ErrorCode::kInvalid);  // for which of them?
}

TEST_F(DockerArchiveTest, AnUnpackedArchiveIsLoadedLikeAPackedOne) {
  const std::string path = layout_->path();
  ASSERT_EQ(::mkdir((path + "/first").c_str(), 0700), 0);
  layout_->Write("first/layer.tar", tar_);
  ASSERT_EQ(::symlink("first", (path + "/second").c_str()), 0);
  layout_->Write(ConfigName(config_), config_);
  layout_->Write("manifest.json",
                 ManifestJson(ConfigName(config_), Array{"a"}, Array{"second/layer.tar"}));
  EXPECT_TRUE(Load());
  layout_->Write("manifest.json",
                 ManifestJson(ConfigName(config_), Array{"b"}, Array{"out/layer.tar"}));
  ASSERT_EQ(::symlink("/etc", (path + "/out").c_str()), 0);
  EXPECT_FALSE(Load());
}

TEST_F(DockerArchiveTest, TheIndexOfANewerArchiveWinsOverItsManifest) {
  const Object image = layout_->Image({Tar()});
  layout_->Index({Layout::Named(image, "from-index")});
  layout_->Write("manifest.json", ManifestJson("nonsense", Array{"from-manifest"}, Array{"none"}));
  const auto loaded = Load();
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->front().names, std::vector<std::string>{"docker.io/library/from-index:latest"});
}

TEST_F(DockerArchiveTest, PathsThatLeaveTheArchiveAreRefused) {
  for (const char* path : {"../layer.tar", "/etc/passwd", "a/../../x", "a/..", "..", ""}) {
    ExpectRefused(LoadWithLayer(TarBytes().File("x", tar_), path), "cannot be the path of a layer");
  }
  for (const char* target : {"../x", "/x", "a/../../x", "/etc/passwd"}) {
    ExpectRefused(LoadWithLayer(TarBytes().File("x", tar_).Symlink("link", target), "link"),
                  "leads out of the archive");
  }
}

TEST_F(DockerArchiveTest, LinksInCirclesAreRefused) {
  ExpectRefused(LoadWithLayer(TarBytes().Symlink("a", "b").Symlink("b", "a"), "a"),
                "too many symbolic links");
  ExpectRefused(LoadWithLayer(TarBytes().Symlink("a", "a"), "a/layer.tar"),
                "too many symbolic links");
  ExpectRefused(LoadWithLayer(TarBytes().Symlink("a", "a/a"), "a"), "too many symbolic links");
}

TEST_F(DockerArchiveTest, WhatIsMissingIsNamed) {
  ExpectRefused(LoadWithLayer(TarBytes().File("x", tar_), "y/layer.tar"),
                "the archive has no y/layer.tar");
  ExpectRefused(LoadWithLayer(TarBytes().Symlink("link", "gone"), "link"), "the archive has no");
  ExpectRefused(LoadWithLayer(TarBytes().Directory("x"), "x"), "the archive has no x");
  TarBytes no_config;
  no_config.File("l", tar_).File("manifest.json", ManifestJson("c.json", nullptr, Array{"l"}));
  ExpectRefused(LoadArchive(no_config.End()), "the archive has no c.json");
}

TEST_F(DockerArchiveTest, ALayerOfOtherContentThanTheConfigurationSaysIsRefused) {
  ExpectRefused(LoadWithLayer(TarBytes().File("l", Tar("other content")), "l"), "layer sha256:");
  ExpectRefused(LoadWithLayer(TarBytes().File("l", Gzip(Tar("other content"))), "l"),
                "expands to something else");
  ExpectRefused(LoadWithLayer(TarBytes().File("l", tar_ + "x"), "l"), "layer sha256:");
}

TEST_F(DockerArchiveTest, SizesThatLieInTheOuterTarAreRefused) {
  TarBytes archive;
  archive.Add({.name = "l", .size = "00077777777"}, tar_);
  ExpectRefused(LoadWithLayer(archive, "l"), "cut short");
  TarBytes shorter;
  shorter.Add({.name = "l", .size = "00000001000"}, tar_);
  EXPECT_FALSE(LoadWithLayer(shorter, "l"));
  ExpectNothingVisible();
}

TEST_F(DockerArchiveTest, AConfigurationThatIsNotWhatItsNameSaysIsRefused) {
  TarBytes archive;
  archive.File("l", tar_).File(ConfigName(config_), config_ + " ");
  archive.File("manifest.json", ManifestJson(ConfigName(config_), nullptr, Array{"l"}));
  ExpectRefused(LoadArchive(archive.End()), "does not match the digest in its name");
}

TEST_F(DockerArchiveTest, AConfigurationForOtherLayersIsRefused) {
  TarBytes archive;
  archive.File("l", tar_).File("c.json", config_);
  archive.File("manifest.json", ManifestJson("c.json", nullptr, Array{"l", "l"}));
  ExpectRefused(LoadArchive(archive.End()), "lists 1 layers, the manifest 2");
}

TEST_F(DockerArchiveTest, MalformedManifestsAreRefused) {
  for (const char* text :
       {"", "{}", "7", "[", "[7]", "[{}]", R"([{"Config":7}])", R"([{"Config":""}])", "[]",
        R"([{"Config":"c","Layers":"l"}])", R"([{"Config":"c","Layers":[7]}])",
        R"([{"Config":"c","RepoTags":"a"}])", R"([{"Config":"c\u0000d","Layers":[]}])"}) {
    EXPECT_FALSE(LoadArchive(TarBytes().File("manifest.json", text).End())) << text;
  }
  ExpectNothingVisible();
}

TEST_F(DockerArchiveTest, ANameThatIsNoneNeedsATag) {
  TarBytes archive;
  archive.File("l", tar_).File("c.json", config_);
  archive.File("manifest.json", ManifestJson("c.json", Array{"Not A Name"}, Array{"l"}));
  ExpectRefused(LoadArchive(archive.End()), "--tag");
  EXPECT_TRUE(LoadArchive(archive.End(), {"docker.io/library/given:latest"}));
  EXPECT_TRUE(Open("given"));
}

TEST_F(DockerArchiveTest, MoreLayersThanAnImageMayHaveAreRefusedBeforeAnyIsRead) {
  const std::string json = ManifestJson("c", nullptr, Array(201, base::json::Value("l")));
  EXPECT_EQ(DecodeDockerManifest(json).error().code(), ErrorCode::kLimit);
}

TEST_F(DockerArchiveTest, AnArchiveOfTheFirstDockersIsSaidToBeTooOld) {
  TarBytes archive;
  archive.File("1234/layer.tar", tar_).File("repositories", R"({"a":{"1":"1234"}})");
  ExpectRefused(LoadArchive(archive.End()), "older than 1.10");
}

}  // namespace
}  // namespace msb::image
