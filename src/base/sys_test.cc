#include "src/base/sys.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace msb::base {
namespace {

class SysTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/msb-sys-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    path_ = name;
    auto directory = OpenFile(path_, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(directory);
    directory_ = *std::move(directory);
  }
  void TearDown() override { ASSERT_TRUE(RemoveTreeAt(AT_FDCWD, path_)); }

  std::string path_;
  UniqueFd directory_;
};

TEST_F(SysTest, AMissingFileIsNotFoundAndNamed) {
  const auto file = OpenFile(path_ + "/none", O_RDONLY);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(file.error().message(), "cannot open " + path_ + "/none: No such file or directory");
}

TEST_F(SysTest, OpenBeneathDoesNotLeaveItsDirectory) {
  ASSERT_EQ(::symlinkat("/etc", directory_.get(), "out"), 0);
  EXPECT_FALSE(OpenBeneath(directory_.get(), "../etc/passwd", O_RDONLY));
  EXPECT_FALSE(OpenBeneath(directory_.get(), "out/passwd", O_RDONLY));
  EXPECT_FALSE(OpenBeneath(directory_.get(), "/etc/passwd", O_RDONLY));
}

TEST_F(SysTest, ReplaceFileLeavesOneWholeFile) {
  ASSERT_TRUE(ReplaceFileAt(directory_.get(), "f", "one", 0600, true));
  ASSERT_TRUE(ReplaceFileAt(directory_.get(), "f", "two", 0600, false));
  EXPECT_EQ(*ReadFileAt(directory_.get(), "f", 100), "two");
  EXPECT_EQ(ListDirectory(directory_.get())->size(), 1u);
}

TEST_F(SysTest, ReadingStopsAtTheLimit) {
  ASSERT_TRUE(ReplaceFileAt(directory_.get(), "f", "12345", 0600, false));
  EXPECT_TRUE(ReadFileAt(directory_.get(), "f", 5));
  const auto longer = ReadFileAt(directory_.get(), "f", 4);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code(), ErrorCode::kLimit);
}

TEST_F(SysTest, RemoveTreeDoesNotFollowLinks) {
  ASSERT_TRUE(MakeDirectories(path_ + "/keep", 0700));
  ASSERT_TRUE(ReplaceFileAt(directory_.get(), "precious", "x", 0600, false));
  ASSERT_TRUE(MakeDirectories(path_ + "/gone/deep", 0700));
  ASSERT_EQ(::symlink((path_ + "/keep").c_str(), (path_ + "/gone/link").c_str()), 0);
  ASSERT_EQ(::symlink("../precious", (path_ + "/gone/link2").c_str()), 0);
  ASSERT_TRUE(RemoveTreeAt(directory_.get(), "gone"));
  EXPECT_EQ(::access((path_ + "/keep").c_str(), F_OK), 0);
  EXPECT_EQ(::access((path_ + "/precious").c_str(), F_OK), 0);
  EXPECT_TRUE(RemoveTreeAt(directory_.get(), "gone"));
}

TEST_F(SysTest, CloneFileKeepsContentSizeAndHoles) {
  auto source = OpenUnnamed(path_);
  auto target = OpenUnnamed(path_);
  ASSERT_TRUE(source && target);
  ASSERT_TRUE(PwriteFull(source->get(), std::as_bytes(std::span("data", 4)), 1 << 20));
  ASSERT_EQ(::ftruncate(source->get(), 1 << 30), 0);
  ASSERT_TRUE(CloneFile(source->get(), target->get()));
  const struct stat status = *Stat(target->get());
  EXPECT_EQ(status.st_size, 1 << 30);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
  char text[4];
  ASSERT_TRUE(PreadFull(target->get(), std::as_writable_bytes(std::span(text)), 1 << 20));
  EXPECT_EQ(std::string_view(text, 4), "data");
}

TEST_F(SysTest, ALockLivesAsLongAsTheLastHolderOfItsDescription) {
  auto first = OpenFileAt(directory_.get(), "lock", O_RDWR | O_CREAT, 0600);
  auto other = OpenFileAt(directory_.get(), "lock", O_RDWR);
  ASSERT_TRUE(first && other);
  ASSERT_TRUE(TryLock(first->get(), LockMode::kExclusive));
  auto inherited = Duplicate(first->get());
  ASSERT_TRUE(inherited);
  first->Reset();
  EXPECT_TRUE(*IsLocked(other->get()));
  EXPECT_EQ(TryLock(other->get(), LockMode::kExclusive).error().code(), ErrorCode::kBusy);
  inherited->Reset();
  EXPECT_FALSE(*IsLocked(other->get()));
  EXPECT_TRUE(TryLock(other->get(), LockMode::kExclusive));
}

TEST_F(SysTest, DescriptorsTravelWithTheirMessage) {
  auto pair = MakeSocketPair(SocketType::kSeqPacket);
  auto pipe = MakePipe();
  ASSERT_TRUE(pair && pipe);
  const int fds[] = {pipe->second.get()};
  ASSERT_TRUE(SendWithFds(pair->first.get(), std::as_bytes(std::span("hi", 2)), fds));
  std::byte buffer[8];
  auto received = ReceiveWithFds(pair->second.get(), buffer);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->size, 2u);
  ASSERT_EQ(received->fds.size(), 1u);
  ASSERT_TRUE(WriteFull(received->fds[0].get(), "x"));
  std::byte byte;
  EXPECT_EQ(*Read(pipe->first.get(), std::span(&byte, 1)), 1u);
}

TEST_F(SysTest, AMessageLongerThanTheBufferIsMarked) {
  auto pair = MakeSocketPair(SocketType::kSeqPacket);
  ASSERT_TRUE(pair);
  ASSERT_TRUE(SendWithFds(pair->first.get(), std::as_bytes(std::span("long", 4)), {}));
  std::byte buffer[2];
  EXPECT_TRUE(ReceiveWithFds(pair->second.get(), buffer)->truncated);
}

TEST_F(SysTest, SocketsAreReachedPastThe108ByteLimit) {
  const std::string deep = path_ + "/" + std::string(120, 'd');
  ASSERT_TRUE(MakeDirectories(deep, 0700));
  auto directory = OpenFile(deep, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(directory);
  auto listener = ListenUnixAt(directory->get(), "s", SocketType::kSeqPacket, 0600);
  ASSERT_TRUE(listener) << listener.error().message();
  auto client = ConnectUnixAt(directory->get(), "s", SocketType::kSeqPacket);
  ASSERT_TRUE(client) << client.error().message();
  EXPECT_EQ(GetPeerCredentials(client->get())->uid, ::geteuid());
}

TEST_F(SysTest, AProcessIsWaitedForByItsDescriptor) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(3);
  auto fd = PidFdOpen(pid);
  ASSERT_TRUE(fd);
  EXPECT_EQ(WaitPidFd(fd->get())->ShellCode(), 3);
  const pid_t other = ::fork();
  if (other == 0) ::pause();
  auto other_fd = PidFdOpen(other);
  ASSERT_TRUE(other_fd);
  EXPECT_EQ(*TryWaitPidFd(other_fd->get()), std::nullopt);
  ASSERT_TRUE(PidFdSignal(other_fd->get(), SIGKILL));
  EXPECT_EQ(WaitPidFd(other_fd->get())->ShellCode(), 128 + SIGKILL);
}

TEST_F(SysTest, StartTimeTellsAProcessFromALaterOneOfTheSameNumber) {
  EXPECT_GT(*ProcessStartTime(::getpid()), 0u);
  EXPECT_FALSE(ProcessStartTime(0x7ffffff0));
  EXPECT_EQ(BootId()->size(), 36u);
}

}  // namespace
}  // namespace msb::base
