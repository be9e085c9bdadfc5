// Adding, finding, checking and removing, with layouts made here and conversion on a thread.
#include "src/image/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/image/store_remove.h"
#include "src/image/testing/store_fixture.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::json::Array;
using base::json::Object;
using testing::Gzip;
using testing::Layout;
using testing::StoreTest;
using testing::Tar;
using testing::TarBytes;

// --- finding -------------------------------------------------------------------------------------

TEST_F(StoreTest, AMissingHomeIsAnEmptyStoreAndTheErrorSaysHowToBringTheImage) {
  const auto image = Open("python");
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code(), ErrorCode::kNotFound);
  EXPECT_NE(image.error().message().find("msb image load"), std::string::npos);
  EXPECT_NE(image.error().message().find("--tag python"), std::string::npos);
  EXPECT_EQ(Open("Bad Name").error().code(), ErrorCode::kInvalid);
}

TEST_F(StoreTest, ALoadedImageOpensWithItsConfigurationAndDisk) {
  const Object run = {{"Entrypoint", {"/bin/app"}},
                      {"Cmd", {"-x"}},
                      {"Env", {"A=b"}},
                      {"WorkingDir", "/w"},
                      {"User", "1:2"},
                      {"StopSignal", "SIGINT"},
                      {"Volumes", {{"/data", Object()}}},
                      {"ExposedPorts", {{"80/tcp", Object()}}},
                      {"Labels", {{"k", "v"}}}};
  layout_->Index({Layout::Named(layout_->Image({Tar("a"), Tar("b")}, run), "app")});
  ASSERT_TRUE(Load());
  const auto image = Open("app");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->name, "app");
  EXPECT_EQ(image->config.entrypoint, std::vector<std::string>{"/bin/app"});
  EXPECT_EQ(image->config.cmd, std::vector<std::string>{"-x"});
  EXPECT_EQ(image->config.env, std::vector<std::string>{"A=b"});
  EXPECT_EQ(image->config.workdir, "/w");
  EXPECT_EQ(image->config.user, "1:2");
  EXPECT_EQ(image->config.stop_signal, "SIGINT");
  EXPECT_EQ(image->config.volumes, std::vector<std::string>{"/data"});
  EXPECT_EQ(image->config.exposed_ports, std::vector<std::string>{"80/tcp"});
  EXPECT_EQ(image->config.labels.at("k"), "v");
  EXPECT_TRUE(IsUuid(image->uuid));
  std::string volume;
  for (const ImagePart& part : image->parts) {
    EXPECT_EQ(::fcntl(part.fd.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    std::string bytes(part.length, '\0');
    ASSERT_TRUE(
        base::PreadFull(part.fd.get(), std::as_writable_bytes(std::span(bytes)), part.offset));
    volume += bytes;
  }
  const auto files = testing::ReadVolume(volume);
  ASSERT_TRUE(files) << files.error().message();
  EXPECT_EQ(files->at("a").content, "a");
  EXPECT_EQ(files->at("b").content, "b");
}

TEST_F(StoreTest, ImagesAreFoundByNameByDigestAndByBoth) {
  layout_->Index({Layout::Named(layout_->Image({Tar()}), "ghcr.io/a/b:1")});
  const std::string digest = Load()->front().digest;
  EXPECT_TRUE(Open("ghcr.io/a/b:1"));
  EXPECT_TRUE(Open(digest));
  EXPECT_TRUE(Open("ghcr.io/a/b@" + digest));
  EXPECT_TRUE(Open("ghcr.io/a/b:other@" + digest));
  EXPECT_EQ(Open("ghcr.io/a/b").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(Open("ghcr.io/a/c@" + digest).error().code(), ErrorCode::kNotFound);
}

TEST_F(StoreTest, NullsOfGoMeanAbsent) {
  const Object run = {{"Entrypoint", nullptr},
                      {"Cmd", nullptr},
                      {"Env", nullptr},
                      {"Volumes", nullptr},
                      {"Labels", nullptr}};
  layout_->Index({Layout::Named(layout_->Image({Tar()}, run), "a")});
  EXPECT_TRUE(Load());
  EXPECT_TRUE(Open("a")->config.cmd.empty());
}

TEST_F(StoreTest, AHomeOfANewerVersionIsRefused) {
  layout_->Index({Layout::Named(layout_->Image({Tar()}), "a")});
  ASSERT_TRUE(Load());
  const base::UniqueFd home = *base::OpenFile(home_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(base::ReplaceFileAt(home.get(), "version", "2\n", 0600, false));
  EXPECT_EQ(Store::Open(home_).error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(Load().error().code(), ErrorCode::kUnsupported);
}

TEST_F(StoreTest, ARemovedImageGoesOnBeingReadableThroughOpenDescriptors) {
  layout_->Index({Layout::Named(layout_->Image({Tar()}), "a")});
  ASSERT_TRUE(Load());
  auto image = Open("a");
  image->lock.Reset();  // its sandbox was started
  ASSERT_TRUE(RemoveImages(OpenStore(), {"a"}));
  EXPECT_FALSE(Open("a"));
  char byte;
  EXPECT_EQ(::pread(image->parts.front().fd.get(), &byte, 1, 1024), 1);
}

// --- loading -------------------------------------------------------------------------------------

TEST_F(StoreTest, EveryImageAndEveryTagIsLoaded) {
  const Object one = layout_->Image({Tar("one")});
  const Object two = layout_->Image({Tar("two")});
  layout_->Index({Layout::Named(one, "a:1"), Layout::Named(one, "a:2"), Layout::Named(two, "b"),
                  layout_->Image({Tar("three")})});
  const auto loaded = Load();
  ASSERT_TRUE(loaded) << loaded.error().message();
  ASSERT_EQ(loaded->size(), 3u);
  EXPECT_EQ((*loaded)[0].names.size(), 2u);
  EXPECT_TRUE((*loaded)[2].names.empty());
  for (const std::string name : {"a:1", "a:2", "b", (*loaded)[2].digest.c_str()}) {
    EXPECT_TRUE(Open(name)) << name;
  }
}

TEST_F(StoreTest, ContainerdsNameWinsAndGivenTagsAreAdded) {
  Object image = layout_->Image({Tar()});
  image["annotations"] = Object{{kRefName, "latest"}, {kContainerdName, "ghcr.io/x/y:z"}};
  layout_->Index({image});
  EXPECT_EQ(Load({"docker.io/library/mine:latest"})->front().names,
            (std::vector<std::string>{"ghcr.io/x/y:z", "docker.io/library/mine:latest"}));
}

TEST_F(StoreTest, ATagForSeveralImagesIsRefused) {
  layout_->Index({layout_->Image({Tar("a")}), layout_->Image({Tar("b")})});
  EXPECT_EQ(Load({"docker.io/library/mine:latest"}).error().code(), ErrorCode::kInvalid);
  ExpectNothingVisible();
}

TEST_F(StoreTest, ANameThatIsNoneNeedsATag) {
  layout_->Index({Layout::Named(layout_->Image({Tar()}), "Not A Name")});
  EXPECT_EQ(Load().error().code(), ErrorCode::kInvalid);
  EXPECT_TRUE(Load({"docker.io/library/mine:latest"}));
}

TEST_F(StoreTest, OfSeveralPlatformsThisMachinesIsTaken) {
  Object amd = layout_->Image({Tar("amd")});
  Object arm = layout_->Image({Tar("arm")}, {}, "arm64");
  amd["platform"] = Object{{"os", "linux"}, {"architecture", "amd64"}};
  arm["platform"] = Object{{"os", "linux"}, {"architecture", "arm64"}};
  Object attestation = layout_->Image({Tar("x")});
  attestation["platform"] = Object{{"os", "unknown"}, {"architecture", "unknown"}};
  for (const std::string_view type : {kOciIndex, kDockerList}) {
    const Object list = {
        {"schemaVersion", 2}, {"mediaType", type}, {"manifests", {arm, attestation, amd}}};
    layout_->Index({Layout::Named(layout_->Blob(base::json::WriteValue(list), type), "multi")});
    const auto loaded = Load();
    ASSERT_TRUE(loaded) << loaded.error().message();
    EXPECT_EQ(loaded->front().digest, amd["digest"].as_string());
  }
  layout_->Index({arm});
  EXPECT_NE(Load().error().message().find("linux/arm64"), std::string::npos);
}

TEST_F(StoreTest, AConfigurationForAnotherMachineIsRefused) {
  layout_->Index({layout_->Image({Tar()}, {}, "arm64")});
  EXPECT_EQ(Load().error().code(), ErrorCode::kUnsupported);
  ExpectNothingVisible();
}

TEST_F(StoreTest, DockersMediaTypesAreTaken) {
  const std::string tar = Tar();
  const Object config = {{"architecture", "amd64"},
                         {"os", "linux"},
                         {"rootfs", {{"type", "layers"}, {"diff_ids", {DigestOf(tar)}}}}};
  const Object manifest = {
      {"schemaVersion", 2},
      {"mediaType", kDockerManifest},
      {"config", layout_->Blob(base::json::WriteValue(config),
                               "application/vnd.docker.container.image.v1+json")},
      {"layers", {layout_->Blob(tar, "application/vnd.docker.image.rootfs.diff.tar")}}};
  layout_->Index(
      {Layout::Named(layout_->Blob(base::json::WriteValue(manifest), kDockerManifest), "d")});
  EXPECT_TRUE(Load());
}

TEST_F(StoreTest, UnknownMediaTypesAreNamed) {
  Object image = layout_->Blob("{}", "application/x-other");
  layout_->Index({image});
  EXPECT_NE(Load().error().message().find("application/x-other"), std::string::npos);
  const Object manifest = {{"schemaVersion", 2},
                           {"mediaType", kOciManifest},
                           {"config", layout_->Blob("{}", "application/vnd.helm.config")},
                           {"layers", Array()}};
  layout_->Index({layout_->Blob(base::json::WriteValue(manifest), kOciManifest)});
  EXPECT_NE(Load().error().message().find("application/vnd.helm.config"), std::string::npos);
  ExpectNothingVisible();
}

TEST_F(StoreTest, WrongDigestsAndSizesAreRefusedAndNothingIsKept) {
  const Object image = Layout::Named(layout_->Image({Tar("a"), Tar("b")}), "a");
  const std::vector<std::string> blobs = [&] {
    const base::UniqueFd fd = *base::OpenFile(layout_->path() + "/blobs/sha256", O_RDONLY);
    return *base::ListDirectory(fd.get());
  }();
  layout_->Index({image});
  for (const std::string& blob : blobs) {
    const std::string name = "blobs/sha256/" + blob;
    const std::string content = *base::ReadFile(layout_->path() + "/" + name, 1 << 20);
    std::string flipped = content;
    flipped[content.size() / 2] ^= 1;
    for (const std::string& bad : {flipped, content + "x", content.substr(1), std::string()}) {
      layout_->Write(name, bad);
      const auto loaded = Load();
      ASSERT_FALSE(loaded);
      EXPECT_EQ(loaded.error().code(), ErrorCode::kCorrupt) << loaded.error().message();
      ExpectNothingVisible();
    }
    layout_->Write(name, content);
  }
  EXPECT_TRUE(Load());
  EXPECT_EQ(Problems(), 0u);
}

TEST_F(StoreTest, ALayerThatExpandsToSomethingElseThanTheConfigurationSaysIsRefused) {
  const std::string layer = Gzip(Tar());
  const Object config = {{"architecture", "amd64"},
                         {"os", "linux"},
                         {"rootfs", {{"type", "layers"}, {"diff_ids", {DigestOf("other")}}}}};
  const Object manifest = {
      {"schemaVersion", 2},
      {"config", layout_->Blob(base::json::WriteValue(config), kOciConfig)},
      {"layers", {layout_->Blob(layer, "application/vnd.oci.image.layer.v1.tar+gzip")}}};
  layout_->Index({layout_->Blob(base::json::WriteValue(manifest), kOciManifest)});
  EXPECT_EQ(Load().error().code(), ErrorCode::kCorrupt);
  ExpectNothingVisible();
}

TEST_F(StoreTest, MalformedDocumentsAreRefused) {
  for (const char* index :
       {"", "[]", "{", "{}", R"({"manifests":7})", R"({"manifests":[{}]})",
        R"({"manifests":[{"digest":"sha256:x","size":1}]})",
        R"({"manifests":[{"digest":"md5:x","size":-1}]})", R"({"manifests":[]})"}) {
    layout_->Write("index.json", index);
    EXPECT_FALSE(Load()) << index;
  }
  ExpectNothingVisible();
}

TEST_F(StoreTest, HostileLayersAreRefusedWithTheLayersDigestAndNothingIsKept) {
  const std::string tar = TarBytes().File("../escape", "x").End();
  layout_->Index({Layout::Named(layout_->Image({Tar(), tar}), "a")});
  const auto loaded = Load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), ErrorCode::kInvalid);
  EXPECT_NE(loaded.error().message().find(DigestOf(Gzip(tar))), std::string::npos);
  EXPECT_NE(loaded.error().message().find("'../escape'"), std::string::npos);
  ExpectNothingVisible();
}

TEST_F(StoreTest, LayoutsDoNotReachOutOfTheirDirectory) {
  const Object image = layout_->Image({Tar()});
  layout_->Index({image});
  const std::string blob = layout_->path() + "/blobs/sha256/" +
                           std::string(DigestHex(std::string(image.at("digest").as_string())));
  ASSERT_EQ(::rename(blob.c_str(), (directory_ + "/outside").c_str()), 0);
  ASSERT_EQ(::symlink((directory_ + "/outside").c_str(), blob.c_str()), 0);
  EXPECT_FALSE(Load());
  ASSERT_EQ(::unlink(blob.c_str()), 0);
  ASSERT_EQ(::mkfifo(blob.c_str(), 0600), 0);
  EXPECT_FALSE(Load());
}

TEST_F(StoreTest, ArchivesOfALayoutAreLoadedHoweverTheyAreCompressed) {
  Layout inner(directory_ + "/inner");
  inner.Index({Layout::Named(inner.Image({Tar()}), "archived")});
  TarBytes tar;
  for (const char* name : {"oci-layout", "index.json"}) {
    tar.File(std::string("./") + name, *base::ReadFile(inner.path() + "/" + name, 1 << 20));
  }
  const base::UniqueFd blobs = *base::OpenFile(inner.path() + "/blobs/sha256", O_RDONLY);
  for (const std::string& blob : *base::ListDirectory(blobs.get())) {
    tar.File("blobs/sha256/" + blob, *base::ReadFileAt(blobs.get(), blob, 1 << 20));
  }
  for (const std::string& bytes : {tar.End(), Gzip(tar.End()), testing::Zstd(tar.End())}) {
    layout_->Write("archive", bytes);
    const auto loaded = LoadPath(layout_->path() + "/archive");
    ASSERT_TRUE(loaded) << loaded.error().message();
    EXPECT_EQ(loaded->front().names.front(), "docker.io/library/archived:latest");
  }
  layout_->Write("archive", tar.End().substr(0, 3000));
  EXPECT_FALSE(LoadPath(layout_->path() + "/archive"));
}

TEST_F(StoreTest, WhatIsNoLayoutIsSaidToBeWhatItLooksLike) {
  layout_->Write("archive", TarBytes().File("bin/sh", "").End());
  EXPECT_NE(LoadPath(layout_->path() + "/archive").error().message().find("msb image import"),
            std::string::npos);
  EXPECT_EQ(LoadPath(directory_ + "/nowhere").error().code(), ErrorCode::kNotFound);
}

TEST_F(StoreTest, ANameMovesToTheImageLoadedLast) {
  layout_->Index({Layout::Named(layout_->Image({Tar("old")}), "a")});
  const std::string old = Load()->front().digest;
  layout_->Index({Layout::Named(layout_->Image({Tar("new")}), "a")});
  const std::string now = Load()->front().digest;
  EXPECT_EQ(Open("a")->digest, now);
  EXPECT_FALSE(Open(old));
  EXPECT_EQ(Problems(), 0u);
  EXPECT_EQ(FilesIn(kBlobsDirectory).size(), 3u);  // the old one's files are gone
}

TEST_F(StoreTest, LayersAreSharedBetweenImages) {
  layout_->Index({Layout::Named(layout_->Image({Tar("base"), Tar("a")}), "a"),
                  Layout::Named(layout_->Image({Tar("base"), Tar("b")}), "b")});
  ASSERT_TRUE(Load());
  size_t blobs = 0;
  for (const std::string& name : FilesIn(kConvertedDirectory)) blobs += name.ends_with(".blob");
  EXPECT_EQ(blobs, 3u);
  ASSERT_TRUE(RemoveImages(OpenStore(), {"a"}));
  EXPECT_TRUE(Open("b"));
  EXPECT_EQ(Problems(), 0u);
}

// --- importing -----------------------------------------------------------------------------------

TEST_F(StoreTest, ImportingTheSameTwiceGivesTheSameDigest) {
  layout_->Write("rootfs.tar", Tar());
  ImageConfig config;
  config.cmd = {"sh"};
  const auto first = Import(layout_->path() + "/rootfs.tar", config);
  const auto second = Import(layout_->path() + "/rootfs.tar", config);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->digest, second->digest);
  EXPECT_EQ(Open("imported")->config.cmd, config.cmd);
  EXPECT_EQ(Problems(), 0u);
}

TEST_F(StoreTest, ACompressedRootFileSystemIsKeptAsItIs) {
  const std::string tar = Gzip(Tar());
  layout_->Write("rootfs.tar.gz", tar);
  ASSERT_TRUE(Import(layout_->path() + "/rootfs.tar.gz"));
  EXPECT_EQ(*OpenStore().ReadBlob(DigestOf(tar)), tar);
}

TEST_F(StoreTest, ADirectoryIsImportedWithoutFollowingLinks) {
  const std::string root = directory_ + "/root";
  ASSERT_TRUE(base::MakeDirectories(root + "/d/e", 0755));
  Layout(root + "/d").Write("file", std::string(10000, 'x'));
  ASSERT_EQ(::link((root + "/d/file").c_str(), (root + "/d/hard").c_str()), 0);
  ASSERT_EQ(::symlink("/etc", (root + "/outside").c_str()), 0);
  ASSERT_EQ(::mkfifo((root + "/fifo").c_str(), 0640), 0);
  const base::UniqueFd sparse = *base::OpenFile(root + "/sparse", O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::ftruncate(sparse.get(), 50 << 20), 0);
  ASSERT_TRUE(base::PwriteFull(sparse.get(), std::as_bytes(std::span("data", 4)), 30 << 20));
  const auto image = Import(root);
  ASSERT_TRUE(image) << image.error().message();
  const auto opened = Open("imported");
  std::string volume;
  for (const ImagePart& part : opened->parts) {
    std::string bytes(part.length, '\0');
    ASSERT_TRUE(base::PreadFull(part.fd.get(), std::as_writable_bytes(std::span(bytes)), 0));
    volume += bytes;
  }
  EXPECT_LT(volume.size(), 1u << 20);
  auto files = *testing::ReadVolume(volume);
  EXPECT_EQ(files["outside"].content, "/etc");
  EXPECT_EQ(files["d/file"].content, std::string(10000, 'x'));
  EXPECT_EQ(files["d/hard"].inode, files["d/file"].inode);
  EXPECT_EQ(files["fifo"].mode, S_IFIFO | 0640);
  EXPECT_EQ(files["sparse"].size, 50u << 20);
  EXPECT_GT(files["sparse"].hole_bytes, 49u << 20);
}

// --- what goes wrong -----------------------------------------------------------------------------

TEST_F(StoreTest, CheckFindsEveryDamagedOrMissingFileAndNamesTheImages) {
  layout_->Index({Layout::Named(layout_->Image({Tar("a"), Tar("b")}), "app")});
  ASSERT_TRUE(Load());
  EXPECT_EQ(Problems(), 0u);
  for (const char* directory : {kBlobsDirectory, kConvertedDirectory}) {
    for (const std::string& name : FilesIn(directory)) {
      const std::string path = home_ + "/images/" + directory + "/" + name;
      const std::string content = *base::ReadFile(path, 1 << 20);
      std::string flipped = content;
      flipped[flipped.size() / 2] ^= 1;
      const auto write = [&](const std::string& bytes) {
        const base::UniqueFd fd = *base::OpenFile(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
        ASSERT_TRUE(base::WriteFull(fd.get(), bytes));
      };
      write(flipped);
      const auto report = CheckStore(OpenStore(), [](uint64_t) {});
      ASSERT_GE(report->problems.size(), 1u) << path;
      EXPECT_EQ(report->problems.front().images.front(), "docker.io/library/app:latest");
      ASSERT_EQ(::unlink(path.c_str()), 0);
      EXPECT_GE(Problems(), 1u) << path;
      write(content);
      EXPECT_EQ(Problems(), 0u) << path;
    }
  }
}

TEST_F(StoreTest, ADamagedImageCanBeRemovedAndLoadedAgain) {
  layout_->Index({Layout::Named(layout_->Image({Tar()}), "a")});
  ASSERT_TRUE(Load());
  for (const std::string& name : FilesIn(kConvertedDirectory)) {
    ASSERT_EQ(::unlink((home_ + "/images/" + kConvertedDirectory + "/" + name).c_str()), 0);
  }
  EXPECT_FALSE(Open("a"));
  ASSERT_TRUE(RemoveImages(OpenStore(), {"a"}));
  ASSERT_TRUE(Load());
  EXPECT_TRUE(Open("a"));
  EXPECT_EQ(Problems(), 0u);
}

TEST_F(StoreTest, LeftoversOfKilledCommandsAreRemovedByTheNext) {
  layout_->Index({Layout::Named(layout_->Image({Tar("a")}), "a")});
  ASSERT_TRUE(Load());
  const std::string images = home_ + "/images/";
  const std::string hex(64, 'e');
  for (const std::string& leftover :
       {std::string(".index.json.0123456789abcdef"), "blobs/sha256/" + hex,
        "converted/1/" + hex + ".blob", "converted/1/" + hex + ".index"}) {
    ASSERT_TRUE(base::OpenFile(images + leftover, O_WRONLY | O_CREAT, 0600));
  }
  layout_->Index({Layout::Named(layout_->Image({Tar("b")}), "b")});
  ASSERT_TRUE(Load());
  for (const char* directory : {"", "/blobs/sha256", "/converted/1"}) {
    for (const std::string& name : FilesIn(std::string(".") + directory)) {
      EXPECT_FALSE(name.starts_with(hex) || name.starts_with(".index")) << name;
    }
  }
  EXPECT_TRUE(Open("a"));
  EXPECT_TRUE(Open("b"));
}

TEST_F(StoreTest, NothingIsCollectedWhileAnotherCommandUsesTheStore) {
  layout_->Index({Layout::Named(layout_->Image({Tar("a")}), "a")});
  ASSERT_TRUE(Load());
  const base::UniqueFd other = *OpenStore().LockShared();
  const std::string leftover = home_ + "/images/converted/1/" + std::string(64, 'e') + ".blob";
  ASSERT_TRUE(base::OpenFile(leftover, O_WRONLY | O_CREAT, 0600));
  ASSERT_TRUE(Load());
  EXPECT_EQ(::access(leftover.c_str(), F_OK), 0);
}

TEST_F(StoreTest, NothingIsCollectedFromAStoreThatCannotBeUnderstood) {
  layout_->Index({Layout::Named(layout_->Image({Tar("a")}), "a"),
                  Layout::Named(layout_->Image({Tar("b")}), "b")});
  const auto loaded = Load();
  ASSERT_TRUE(loaded);
  const std::string manifest = home_ + "/images/" + BlobFile(loaded->front().digest);
  ASSERT_EQ(::truncate(manifest.c_str(), 10), 0);
  const size_t before = FilesIn(kBlobsDirectory).size();
  EXPECT_FALSE(RemoveImages(OpenStore(), {"b"}));
  EXPECT_EQ(FilesIn(kBlobsDirectory).size(), before);
}

TEST_F(StoreTest, RemovingSeveralIsAllOrNothing) {
  layout_->Index({Layout::Named(layout_->Image({Tar("a")}), "a")});
  ASSERT_TRUE(Load());
  EXPECT_EQ(RemoveImages(OpenStore(), {"a", "b"}).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(Open("a"));
}

TEST_F(StoreTest, EntriesOfOtherProgramsInTheIndexAreKept) {
  layout_->Index({Layout::Named(layout_->Image({Tar("a")}), "a")});
  ASSERT_TRUE(Load());
  const std::string path = home_ + "/images/index.json";
  std::string index = *base::ReadFile(path, 1 << 20);
  base::json::Value value = *base::json::ParseValue(index);
  value.as_object()["x-other"] = 7;
  value.as_object()["manifests"].as_array()[0].as_object()["x-mine"] = "kept";
  const base::UniqueFd images = *base::OpenFile(home_ + "/images", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(
      base::ReplaceFileAt(images.get(), "index.json", base::json::WriteValue(value), 0600, false));
  layout_->Index({Layout::Named(layout_->Image({Tar("b")}), "b")});
  ASSERT_TRUE(Load());
  index = *base::ReadFile(path, 1 << 20);
  EXPECT_NE(index.find("x-other"), std::string::npos);
  EXPECT_NE(index.find("x-mine"), std::string::npos);
}

}  // namespace
}  // namespace msb::image
