#include "src/image/disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "src/base/sys.h"

namespace msb::image {
namespace {

const std::string kLibexec = MSB_BUILD_DIR "/libexec/microsandbox";

class Disk : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/msb-disk-XXXXXX";
    directory_ = ::mkdtemp(name);
    directory_fd_ = *base::OpenFile(directory_, O_RDONLY | O_DIRECTORY);
  }
  void TearDown() override { (void)base::RemoveTreeAt(AT_FDCWD, directory_); }

  std::string directory_;
  base::UniqueFd directory_fd_;
};

uint32_t BlocksOfFileSystem(int fd) {  // s_blocks_count_lo of the ext4 superblock
  uint32_t blocks = 0;
  EXPECT_TRUE(base::PreadFull(fd, std::as_writable_bytes(std::span(&blocks, 1)), 1024 + 4));
  return blocks;
}

bool HasJournal(int fd) {  // s_feature_compat
  uint32_t features = 0;
  EXPECT_TRUE(base::PreadFull(fd, std::as_writable_bytes(std::span(&features, 1)), 1024 + 0x5c));
  return (features & 0x4) != 0;
}

TEST_F(Disk, ATemporaryDiskHasItsSizeNoNameNoJournalAndHardlyAnyData) {
  const auto disk =
      CreateUnnamedDisk(kLibexec, DiskKind::kTemporary, kDefaultDiskBytes, directory_);
  ASSERT_TRUE(disk) << disk.error().message();
  const auto status = base::Stat(disk->get());
  EXPECT_EQ(static_cast<uint64_t>(status->st_size), kDefaultDiskBytes);
  EXPECT_LT(status->st_blocks * 512, 1 << 20);
  EXPECT_EQ(status->st_nlink, 0u);
  EXPECT_EQ(BlocksOfFileSystem(disk->get()), kDefaultDiskBytes / 4096);
  EXPECT_FALSE(HasJournal(disk->get()));
  EXPECT_TRUE(base::ListDirectory(directory_fd_.get())->empty());
}

TEST_F(Disk, ADiskOfAnotherSizeHasASmallerFileSystemForTheGuestToGrow) {
  const uint64_t size = uint64_t{2} << 30;
  const auto disk = CreateUnnamedDisk(kLibexec, DiskKind::kTemporary, size, directory_);
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_EQ(static_cast<uint64_t>(base::Stat(disk->get())->st_size), size);
  EXPECT_EQ(BlocksOfFileSystem(disk->get()), kMinDiskBytes / 4096);
}

TEST_F(Disk, APersistentDiskHasAJournalAndItsName) {
  const auto disk = CreateNamedDisk(kLibexec, DiskKind::kPersistent, kMinDiskBytes,
                                    directory_fd_.get(), "root.ext4");
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_TRUE(HasJournal(disk->get()));
  EXPECT_EQ(base::Stat(disk->get())->st_nlink, 1u);
}

TEST_F(Disk, ATakenNameIsRefusedAndKept) {
  ASSERT_TRUE(base::ReplaceFileAt(directory_fd_.get(), "root.ext4", "precious", 0600, false));
  const auto disk = CreateNamedDisk(kLibexec, DiskKind::kPersistent, kMinDiskBytes,
                                    directory_fd_.get(), "root.ext4");
  EXPECT_EQ(disk.error().code(), base::ErrorCode::kExists);
  EXPECT_EQ(*base::ReadFileAt(directory_fd_.get(), "root.ext4", 100), "precious");
}

TEST_F(Disk, SizesOutOfBoundsAreRefused) {
  for (const uint64_t bytes :
       {uint64_t{0}, kMinDiskBytes - 4096, kMinDiskBytes + 1, kMaxDiskBytes + 4096, ~uint64_t{0}}) {
    const auto disk = CreateUnnamedDisk(kLibexec, DiskKind::kTemporary, bytes, directory_);
    EXPECT_EQ(disk.error().code(), base::ErrorCode::kInvalid) << bytes;
  }
}

TEST_F(Disk, AnInstallationWithoutTemplatesIsNamedAsTheCause) {
  const auto disk = CreateUnnamedDisk("/nowhere", DiskKind::kTemporary, kMinDiskBytes, directory_);
  EXPECT_EQ(disk.error().code(), base::ErrorCode::kNotFound);
  EXPECT_NE(disk.error().message().find("installation is incomplete"), std::string::npos);
}

TEST_F(Disk, ADamagedTemplateIsNamed) {
  const std::string path = directory_ + "/disks";
  ASSERT_TRUE(base::MakeDirectories(path, 0700));
  const std::string whole =
      *base::ReadFile(kLibexec + "/disks/temporary-small.disk", size_t{4} << 20);
  const std::string lying_count = whole.substr(0, 16) + std::string(8, '\xff') + whole.substr(24);
  const std::string lying_offset = whole.substr(0, 24) + std::string(8, '\xff') + whole.substr(32);
  const base::UniqueFd disks = *base::OpenFile(path, O_RDONLY | O_DIRECTORY);
  for (const std::string& damaged : {std::string(), whole.substr(0, 20), whole.substr(0, 5000),
                                     "x" + whole, lying_count, lying_offset}) {
    ASSERT_TRUE(base::ReplaceFileAt(disks.get(), "temporary-small.disk", damaged, 0600, false));
    const auto disk =
        CreateUnnamedDisk(directory_, DiskKind::kTemporary, kMinDiskBytes, directory_);
    EXPECT_EQ(disk.error().code(), base::ErrorCode::kCorrupt);
    EXPECT_NE(disk.error().message().find("temporary-small.disk"), std::string::npos);
  }
}

}  // namespace
}  // namespace msb::image
