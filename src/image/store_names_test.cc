// How images of the store are called: digests by their beginning, names given and taken away.
#include <gtest/gtest.h>

#include "src/image/index_edit.h"
#include "src/image/progress.h"
#include "src/image/save.h"
#include "src/image/store_remove.h"
#include "src/image/testing/store_fixture.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using testing::Layout;
using testing::Tar;
using testing::TarBytes;

ImageEntry Entry(const std::string& name, const std::string& hex_start) {
  ImageEntry entry;
  entry.name = name;
  entry.manifest.digest = "sha256:" + hex_start + std::string(64 - hex_start.size(), '0');
  return entry;
}

TEST(FindEntryTest, TheBeginningOfADigestIsEnoughWhereItIsTheOnlyOne) {
  const std::vector<ImageEntry> entries = {Entry("", "abcdef1"), Entry("", "abcdef2")};
  for (const char* text : {"abcdef1", "sha256:abcdef1", "abcdef100000"}) {
    const auto found = FindEntry(entries, text);
    ASSERT_TRUE(found) << text;
    EXPECT_EQ(found->entry.manifest.digest, entries[0].manifest.digest);
    EXPECT_TRUE(found->by_digest);
  }
  const std::string all(DigestHex(entries[1].manifest.digest));
  EXPECT_EQ(FindEntry(entries, all)->entry.manifest.digest, entries[1].manifest.digest);
}

TEST(FindEntryTest, WhatCouldBeSeveralImagesNamesThem) {
  const std::vector<ImageEntry> entries = {Entry("docker.io/library/a:1", "abcdef1"),
                                           Entry("docker.io/library/a:2", "abcdef1"),
                                           Entry("docker.io/library/b:1", "abcdef2")};
  const auto found = FindEntry(entries, "abcdef");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), ErrorCode::kInvalid);
  EXPECT_NE(found.error().message().find("a:1"), std::string::npos) << found.error().message();
  EXPECT_NE(found.error().message().find("b:1"), std::string::npos);
  EXPECT_TRUE(FindEntry(entries, "abcdef1"));  // two names of one image are no doubt
}

// An archive may call its image as it likes.
TEST(FindEntryTest, ANameThatBeginsAnotherImagesDigestIsNotGuessedAt) {
  const std::vector<ImageEntry> entries = {Entry("", "decade"),
                                           Entry("docker.io/library/decade:latest", "123456")};
  const auto found = FindEntry(entries, "decade");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), ErrorCode::kInvalid);
  EXPECT_EQ(FindEntry(entries, "decade:latest")->entry.name, "docker.io/library/decade:latest");
  EXPECT_EQ(FindEntry(entries, "sha256:decade")->entry.manifest.digest, entries[0].manifest.digest);
}

TEST(FindEntryTest, FewDigitsOrNoneAreNoDigest) {
  const std::vector<ImageEntry> entries = {Entry("", "abcdef1")};
  for (const char* text : {"abcde", "sha256:abcde", "ABCDEF1", "abcdefg", "0abcdef1"}) {
    EXPECT_FALSE(FindEntry(entries, text)) << text;
  }
  EXPECT_FALSE(FindEntry(entries, "sha256:"));
  EXPECT_FALSE(FindEntry(entries, std::string(65, 'a')));
}

class StoreNamesTest : public testing::StoreTest {
 protected:
  std::string LoadAs(const std::string& name, const std::string& content) {
    layout_->Index({Layout::Named(layout_->Image({Tar(content)}), name)});
    const auto loaded = Load();
    EXPECT_TRUE(loaded);
    return loaded ? loaded->front().digest : "";
  }

  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const ImageEntry& entry : *OpenStore().List()) names.push_back(entry.name);
    return names;
  }
};

TEST_F(StoreNamesTest, AnImageIsFoundByTheDigestThatListsShow) {
  const std::string digest = LoadAs("a", "a");
  EXPECT_EQ(Open(digest.substr(7, 12))->digest, digest);
  EXPECT_EQ(Open(digest.substr(0, 19))->digest, digest);
}

TEST_F(StoreNamesTest, ATagIsAnotherNameOfTheSameImage) {
  const std::string digest = LoadAs("a", "a");
  const auto renamed = TagImage(OpenStore(), "a", "docker.io/library/b:2");
  ASSERT_TRUE(renamed) << renamed.error().message();
  EXPECT_FALSE(renamed->before);
  EXPECT_EQ(Open("b:2")->digest, digest);
  EXPECT_EQ(Open("a")->digest, digest);
  ASSERT_TRUE(TagImage(OpenStore(), "a", "docker.io/library/b:2"));  // once more changes nothing
  EXPECT_EQ(Names().size(), 2u);
}

TEST_F(StoreNamesTest, ATagMovesFromTheImageThatHadIt) {
  const std::string old = LoadAs("a", "old");
  const std::string now = LoadAs("b", "new");
  const auto renamed = TagImage(OpenStore(), now.substr(0, 20), "docker.io/library/a:latest");
  ASSERT_TRUE(renamed);
  EXPECT_EQ(renamed->before->manifest.digest, old);
  EXPECT_TRUE(renamed->dropped);
  EXPECT_EQ(Open("a")->digest, now);
  EXPECT_FALSE(Open(old));
  EXPECT_EQ(Problems(), 0u);
}

PinFinder Only(const DiskPin& pin) {
  return [pin] { return base::Result<std::vector<DiskPin>>({pin}); };
}

TEST_F(StoreNamesTest, NoStartIsUnderWayWhileItIsAskedWhichImagesDisksNeed) {
  LoadAs("a", "a");
  const auto is_locked = [&] {
    const auto lock = base::OpenFileAt(OpenStore().images_fd(), kStoreLock, O_RDWR);
    return !base::TryLock(lock->get(), base::LockMode::kShared);
  };
  bool asked = false;
  ASSERT_TRUE(RemoveImages(OpenStore(), {"a"}, [&]() -> base::Result<std::vector<DiskPin>> {
    asked = is_locked();
    return std::vector<DiskPin>();
  }));
  EXPECT_TRUE(asked);
}

TEST_F(StoreNamesTest, AnImageIsNotRemovedBeforeWhoeverOpenedItHasMadeADiskOverIt) {
  LoadAs("a", "a");
  const auto lock = base::OpenFileAt(OpenStore().images_fd(), kStoreLock, O_RDWR);
  {
    const auto opened = Open("a");
    ASSERT_TRUE(opened);
    EXPECT_EQ(base::TryLock(lock->get(), base::LockMode::kExclusive).error().code(),
              ErrorCode::kBusy);
  }
  EXPECT_TRUE(base::TryLock(lock->get(), base::LockMode::kExclusive));
}

TEST_F(StoreNamesTest, AnImageThatLostItsNameDuringAStartIsMissed) {
  LoadAs("a", "old");
  LoadAs("b", "new");
  const auto opened = Open("a");
  ASSERT_TRUE(OpenStore().CheckStill(*opened));
  ASSERT_TRUE(TagImage(OpenStore(), "b", "docker.io/library/a:latest"));
  EXPECT_EQ(OpenStore().CheckStill(*opened).error().code(), ErrorCode::kNotFound);
}

TEST_F(StoreNamesTest, AnImageThatADiskNeedsStaysWithoutANameWhenItsTagMoves) {
  const std::string old = LoadAs("a", "old");
  const std::string now = LoadAs("b", "new");
  DiskPin pin{.sandbox = "default/box", .record = {}};
  pin.record.manifest_digest = old;
  const auto renamed = TagImage(OpenStore(), "b", "docker.io/library/a:latest", Only(pin));
  ASSERT_TRUE(renamed);
  EXPECT_FALSE(renamed->dropped);
  EXPECT_TRUE(renamed->unnamed);
  EXPECT_EQ(Open("a")->digest, now);
  ASSERT_TRUE(RemoveImages(OpenStore(), {"b"}, Only(pin))) << "collects what nothing leads to";
  EXPECT_EQ(Open(old)->digest, old);
  EXPECT_EQ(Problems(), 0u);
  EXPECT_EQ(RemoveImages(OpenStore(), {old}, Only(pin)).error().code(), ErrorCode::kBusy);
  ASSERT_TRUE(RemoveImages(OpenStore(), {old}));
  EXPECT_FALSE(Open(old));
}

TEST_F(StoreNamesTest, AnImageThatKeepsANameStaysWhenAnotherMoves) {
  const std::string old = LoadAs("a", "old");
  ASSERT_TRUE(TagImage(OpenStore(), "a", "docker.io/library/kept:latest"));
  LoadAs("b", "new");
  EXPECT_FALSE(TagImage(OpenStore(), "b", "docker.io/library/a:latest")->dropped);
  EXPECT_EQ(Open("kept")->digest, old);
}

TEST_F(StoreNamesTest, AnImageWithoutANameGetsOne) {
  layout_->Index({layout_->Image({Tar()})});
  const std::string digest = Load()->front().digest;
  ASSERT_TRUE(TagImage(OpenStore(), digest, "docker.io/library/a:latest"));
  EXPECT_EQ(Names(), std::vector<std::string>{"docker.io/library/a:latest"});
}

TEST_F(StoreNamesTest, TaggingWhatIsNotThereChangesNothing) {
  EXPECT_EQ(TagImage(OpenStore(), "a", "docker.io/library/b:1").error().code(),
            ErrorCode::kNotFound);
  LoadAs("a", "a");
  EXPECT_EQ(TagImage(OpenStore(), "c", "docker.io/library/b:1").error().code(),
            ErrorCode::kNotFound);
  EXPECT_EQ(Names().size(), 1u);
}

TEST_F(StoreNamesTest, RemovingSaysWhatIsGone) {
  const std::string digest = LoadAs("a", "a");
  ASSERT_TRUE(TagImage(OpenStore(), "a", "docker.io/library/b:1"));
  ASSERT_TRUE(TagImage(OpenStore(), "a", "docker.io/library/c:1"));
  const auto one = RemoveImages(OpenStore(), {"b:1"});
  ASSERT_TRUE(one);
  ASSERT_EQ(one->size(), 1u);
  EXPECT_EQ(one->front().name, "docker.io/library/b:1");
  const auto rest = RemoveImages(OpenStore(), {digest.substr(7, 12)});
  ASSERT_TRUE(rest);
  ASSERT_EQ(rest->size(), 2u);
  EXPECT_TRUE(Names().empty());
  EXPECT_TRUE(FilesIn(kBlobsDirectory).empty());
}

TEST_F(StoreNamesTest, AnImageThatADiskNeedsIsKeptAsLongAsThatIsItsLastName) {
  const std::string digest = LoadAs("a", "a");
  ASSERT_TRUE(TagImage(OpenStore(), "a", "docker.io/library/b:1"));
  DiskPin pin{.sandbox = "default/box", .record = {}};
  pin.record.image = "a";
  pin.record.manifest_digest = digest;
  ASSERT_TRUE(RemoveImages(OpenStore(), {"a"}, Only(pin))) << "it has another name";
  const auto refused = RemoveImages(OpenStore(), {"b:1"}, Only(pin));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kBusy);
  EXPECT_NE(refused.error().message().find("default/box"), std::string::npos);
  EXPECT_EQ(Names().size(), 1u);
  EXPECT_TRUE(RemoveImages(OpenStore(), {"b:1"}));
}

TEST_F(StoreNamesTest, WhatIsSavedLoadsElsewhereWithTheSameDigests) {
  layout_->Index({Layout::Named(layout_->Image({Tar("base"), Tar("a")}), "a"),
                  Layout::Named(layout_->Image({Tar("base"), Tar("b")}), "b"),
                  layout_->Image({Tar("unnamed")})});
  ASSERT_TRUE(Load());
  const Store store = OpenStore();
  std::string archives[2];
  for (std::string& archive : archives) {
    Progress progress(Progress::Style::kQuiet);
    ASSERT_TRUE(SaveImages(
        store, *store.List(),
        [&](std::string_view data) -> base::Status {
          archive += data;
          return {};
        },
        progress));
  }
  EXPECT_EQ(archives[0], archives[1]);
  const auto before = *store.List();
  home_ = directory_ + "/elsewhere";
  layout_->Write("saved.tar", archives[0]);
  const auto loaded = LoadPath(layout_->path() + "/saved.tar");
  ASSERT_TRUE(loaded) << loaded.error().message();
  for (const ImageEntry& entry : before) {
    EXPECT_TRUE(Open(entry.name.empty() ? entry.manifest.digest : entry.name));
  }
  EXPECT_EQ(Problems(), 0u);
}

TEST_F(StoreNamesTest, ADamagedSourceIsNotSaved) {
  const std::string digest = LoadAs("a", "a");
  const Store store = OpenStore();
  const std::string layer = OpenStore().ReadRunRecord(*store.Find("a"))->layers.front().digest;
  const std::string path = home_ + "/images/" + BlobFile(layer);
  const auto size = base::ReadFile(path, 1 << 20)->size();
  const base::UniqueFd file = *base::OpenFile(path, O_WRONLY | O_TRUNC);
  ASSERT_TRUE(base::WriteFull(file.get(), std::string(size, 'x')));
  Progress progress(Progress::Style::kQuiet);
  const base::Status saved = SaveImages(
      store, *store.List(), [](std::string_view) -> base::Status { return {}; }, progress);
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code(), ErrorCode::kCorrupt);
}

TEST_F(StoreNamesTest, AnArchiveOfImagesIsNotImportedAsARootFileSystem) {
  layout_->Index({Layout::Named(layout_->Image({Tar()}), "a")});
  const auto layout = Import(layout_->path());
  ASSERT_FALSE(layout);
  EXPECT_NE(layout.error().message().find("msb image load " + layout_->path()), std::string::npos);
  TarBytes docker;
  docker.File("manifest.json", R"([{"Config":"c.json","Layers":[]}])").File("c.json", "{}");
  layout_->Write("docker.tar", docker.End());
  EXPECT_FALSE(Import(layout_->path() + "/docker.tar"));
  ExpectNothingVisible();
  EXPECT_TRUE(FilesIn(kBlobsDirectory).empty());
  // A program's manifest.json is no reason to refuse it.
  TarBytes program;
  program.File("manifest.json", R"({"name":"app"})").File("index.json", "{}");
  layout_->Write("program.tar", program.End());
  EXPECT_TRUE(Import(layout_->path() + "/program.tar"));
}

TEST(FormatBytesTest, UnitsGrowWithTheNumberAndNeverShow1024) {
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(uint64_t{1} << 40), "1.0 TiB");
  EXPECT_EQ(FormatBytes((uint64_t{1} << 40) - 1), "1.0 TiB");
  EXPECT_EQ(FormatBytes(uint64_t{5} << 50), "5120.0 TiB");
}

}  // namespace
}  // namespace msb::image
