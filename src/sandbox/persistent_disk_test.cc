#include "src/sandbox/persistent_disk.h"

#include <fcntl.h>
#include <unistd.h>

#include "src/base/sys.h"
#include "src/image/disk.h"
#include "src/sandbox/testing.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;

constexpr uint64_t kBytes = image::kMinDiskBytes;

image::RunnableImage Image(const std::string& name) {
  image::RunnableImage image;
  image.name = name;
  image.uuid = "uuid-of-" + name;
  image.digest = "sha256:" + name;
  return image;
}

class PersistentDiskTest : public HomeTest {
 protected:
  std::string Directory() const { return home_ + "/namespaces/default/box"; }
  std::string Path(const char* name) const { return Directory() + "/" + name; }
  base::Result<PersistentDisk> Open(const std::string& image) const {
    return OpenPersistentDisk(Directory(), Image(image), kBytes);
  }
  void Mark(const PersistentDisk& disk) const {
    ASSERT_TRUE(base::PwriteFull(disk.file.get(), std::as_bytes(std::span("mark", 4)), 0));
  }
  bool IsMarked(const PersistentDisk& disk) const {
    std::array<char, 4> text = {};
    EXPECT_TRUE(base::PreadFull(disk.file.get(), std::as_writable_bytes(std::span(text)), 0));
    return std::string_view(text.data(), text.size()) == "mark";
  }
};

TEST_F(PersistentDiskTest, IsMadeOnceAndFoundAgain) {
  const auto made = Open("a");
  ASSERT_TRUE(made) << made.error().message();
  Mark(*made);
  EXPECT_EQ(made->path, Path("disk"));
  const auto found = OpenPersistentDisk(Directory(), Image("a"), 4 * kBytes);
  ASSERT_TRUE(found);
  EXPECT_TRUE(IsMarked(*found));
  EXPECT_EQ(found->bytes, kBytes) << "it keeps its size";
  EXPECT_EQ(found->record.manifest_digest, "sha256:a");
}

TEST_F(PersistentDiskTest, IsOfNoUseOverAnotherImage) {
  ASSERT_TRUE(Open("a"));
  const auto refused = Open("b");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalid);
  EXPECT_NE(refused.error().message().find("over image a (sha256:a)"), std::string::npos);
  EXPECT_NE(refused.error().message().find("reset"), std::string::npos);
}

TEST_F(PersistentDiskTest, AResetMakesAnEmptyOneOverAnyImage) {
  Mark(*Open("a"));
  const auto reset = ResetPersistentDisk(Directory(), Image("b"), 2 * kBytes);
  ASSERT_TRUE(reset) << reset.error().message();
  EXPECT_FALSE(IsMarked(*reset));
  EXPECT_EQ(reset->bytes, 2 * kBytes);
  EXPECT_TRUE(Open("b"));
  EXPECT_FALSE(Open("a"));
}

TEST_F(PersistentDiskTest, WhatIsInUseIsNotReset) {
  const auto used = Open("a");
  ASSERT_TRUE(base::TryLock(used->file.get(), base::LockMode::kExclusive));
  const auto reset = ResetPersistentDisk(Directory(), Image("b"), kBytes);
  ASSERT_FALSE(reset);
  EXPECT_EQ(reset.error().code(), ErrorCode::kBusy);
  EXPECT_EQ(RemovePersistentDisk(Directory()).error().code(), ErrorCode::kBusy);
  EXPECT_TRUE(Open("a"));
}

TEST_F(PersistentDiskTest, WhatACrashLeftIsMadeWhole) {
  ASSERT_TRUE(Open("a"));
  ASSERT_EQ(::unlink(Path("disk").c_str()), 0);  // a record alone: the disk was never made
  const auto other = Open("b");
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_EQ(other->record.image, "b");
}

TEST_F(PersistentDiskTest, ADiskWithoutARecordIsNotGuessedAt) {
  ASSERT_TRUE(Open("a"));
  ASSERT_EQ(::unlink(Path("disk.json").c_str()), 0);
  EXPECT_EQ(Open("a").error().code(), ErrorCode::kCorrupt);
  EXPECT_TRUE(ResetPersistentDisk(Directory(), Image("a"), kBytes));
}

TEST_F(PersistentDiskTest, RemovingLeavesNothingAndIsFineTwice) {
  ASSERT_TRUE(RemovePersistentDisk(Directory()));
  ASSERT_TRUE(Open("a"));
  ASSERT_TRUE(RemovePersistentDisk(Directory()));
  ASSERT_TRUE(RemovePersistentDisk(Directory()));
  EXPECT_NE(::access(Path("disk").c_str(), F_OK), 0);
  EXPECT_NE(::access(Path("disk.json").c_str(), F_OK), 0);
}

TEST_F(PersistentDiskTest, PinsItsImageUnderItsSandboxesName) {
  EXPECT_TRUE(image::FindDiskPins(home_)->empty()) << "no sandbox of a namespace yet";
  ASSERT_TRUE(Open("a"));
  const auto pins = image::FindDiskPins(home_);
  ASSERT_TRUE(pins);
  ASSERT_EQ(pins->size(), 1u);
  EXPECT_EQ(pins->front().sandbox, "default/box");
  EXPECT_EQ(pins->front().record.manifest_digest, "sha256:a");
}

TEST_F(PersistentDiskTest, PinsItsImageInAnotherDirectoryThatTheHomeKnowsOf) {
  const std::string other = home_ + "/elsewhere";
  ASSERT_TRUE(OpenPersistentDisk(other + "/default/box", Image("b"), kBytes));
  EXPECT_TRUE(image::FindDiskPins(home_)->empty());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(image::AddDiskDirectory(home_, other + "/."));
  const auto pins = image::FindDiskPins(home_);
  ASSERT_TRUE(pins);
  ASSERT_EQ(pins->size(), 1u) << "known once";
  EXPECT_EQ(image::PinnedManifests(*pins), std::set<std::string>{"sha256:b"});
}

TEST_F(PersistentDiskTest, PinsItsImageInADirectoryThatWasMovedAndLinked) {
  ASSERT_TRUE(OpenPersistentDisk(home_ + "/larger/default/box", Image("b"), kBytes));
  ASSERT_EQ(::symlink("larger", (home_ + "/namespaces").c_str()), 0);
  EXPECT_EQ(image::FindDiskPins(home_)->size(), 1u);
}

TEST_F(PersistentDiskTest, ALineThatAKillHasCutOffHidesNoOther) {
  ASSERT_TRUE(OpenPersistentDisk(home_ + "/one/default/box", Image("a"), kBytes));
  ASSERT_TRUE(OpenPersistentDisk(home_ + "/two/default/box", Image("b"), kBytes));
  ASSERT_TRUE(image::AddDiskDirectory(home_, home_ + "/one"));
  const std::string path = home_ + "/" + image::kDiskDirectoriesFile;
  const auto file = base::OpenFile(path, O_WRONLY | O_APPEND);
  ASSERT_TRUE(base::WriteFull(file->get(), "\"/cut of"));
  ASSERT_TRUE(image::AddDiskDirectory(home_, home_ + "/two"));
  EXPECT_EQ(image::FindDiskPins(home_)->size(), 2u);
}

}  // namespace
}  // namespace msb::sandbox
