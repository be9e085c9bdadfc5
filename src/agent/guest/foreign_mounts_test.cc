#include "src/agent/guest/foreign_mounts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr std::string_view kRoot =
    "22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/lower0\n"
    "23 22 0:21 / /proc rw,nosuid shared:3 master:1 - proc proc rw\n";

TEST(ForeignMountsTest, WhatTheKernelServesIsNotForeign) {
  EXPECT_TRUE(FindForeignMounts("").empty());
  EXPECT_TRUE(FindForeignMounts(kRoot).empty());
  EXPECT_TRUE(FindForeignMounts("not a line of it\n - fuse\n").empty());
}

TEST(ForeignMountsTest, WhatAProgramOrAnotherMachineServesIs) {
  for (const char* type : {"fuse", "fuse.sshfs", "fuseblk", "nfs4", "9p", "virtiofs"}) {
    const std::string line =
        "24 22 0:22 / /mnt/a\\040b rw shared:1 - " + std::string(type) + " x rw";
    EXPECT_EQ(FindForeignMounts(std::string(kRoot) + line), std::vector<std::string>{"/mnt/a b"});
  }
}

TEST(ForeignMountsTest, APathIsOfTheInnermostMountThatItsNameLeadsTo) {
  const std::string path = testing::TempDir() + "mountinfo_" + base::RandomHex(4);
  const auto file = base::OpenFile(path, O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(base::WriteFull(file->get(), std::string_view("1 0 0:1 / /mnt rw - fuse x rw\n"
                                                            "2 1 0:2 / /mnt/in rw - fuse y rw\n")));
  const auto loop = base::EventLoop::Create().value();
  ForeignMounts mounts;
  EXPECT_FALSE(mounts.Any()) << "not followed yet";
  mounts.Follow(*loop, path);
  EXPECT_TRUE(mounts.Any());
  EXPECT_EQ(mounts.MountOf("/mnt"), "/mnt");
  EXPECT_EQ(mounts.MountOf("/srv/..//mnt/./in/file"), "/mnt/in");
  EXPECT_EQ(mounts.MountOf("/mnt/inside"), "/mnt");
  EXPECT_EQ(mounts.MountOf("/mnt2"), "");
  EXPECT_EQ(mounts.MountOf("/"), "");
  ::unlink(path.c_str());
}

TEST(ForeignMountsTest, WhateverIsAtTheirPathLaterIsNotOpened) {
  const std::string path = testing::TempDir() + "mountinfo_" + base::RandomHex(4);
  const auto file = base::OpenFile(path, O_WRONLY | O_CREAT, 0600);
  const auto loop = base::EventLoop::Create().value();
  ForeignMounts mounts;
  mounts.Follow(*loop, path);
  EXPECT_FALSE(mounts.Any());
  ::unlink(path.c_str());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);  // to open it would take for ever
  ASSERT_TRUE(base::WriteFull(file->get(), std::string_view("1 0 0:1 / /mnt rw - fuse x rw\n")));
  EXPECT_EQ(mounts.MountOf("/mnt/a"), "/mnt");
  ::unlink(path.c_str());
}

TEST(ForeignMountsTest, WhatCannotBeReadMayHaveAny) {
  const auto loop = base::EventLoop::Create().value();
  ForeignMounts mounts;
  mounts.Follow(*loop, "/nonexistent");
  EXPECT_EQ(mounts.MountOf("/srv"), "/");
}

}  // namespace
}  // namespace msb::agent
