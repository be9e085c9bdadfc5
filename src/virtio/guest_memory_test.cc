#include "src/virtio/guest_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "src/base/sys.h"
#include "src/virtio/testing/fake_driver.h"

namespace msb::virtio {
namespace {

using testing::BytesOf;
using testing::ByteVector;
using testing::FakeMemory;
using testing::ToBytes;
using testing::ToString;

base::Result<std::unique_ptr<GuestMemory>> MapTwo(GuestMemory::Region a, GuestMemory::Region b) {
  const base::UniqueFd file = base::CreateMemFd("guest").value();
  CHECK(::ftruncate(file.get(), 1 << 20) == 0);
  const std::array regions = {a, b};
  return GuestMemory::Map(file.get(), regions);
}

TEST(GuestMemory, WhatIsWrittenIsRead) {
  FakeMemory guest;
  ASSERT_TRUE(guest.memory().Store<uint32_t>(FakeMemory::kBase + 8, 0x01020304));
  EXPECT_EQ(guest.memory().Load<uint32_t>(FakeMemory::kBase + 8), 0x01020304u);
}

TEST(GuestMemory, AddressesOutsideARegionAreRefused) {
  FakeMemory guest;
  const GuestMemory& memory = guest.memory();
  EXPECT_FALSE(memory.Load<uint8_t>(FakeMemory::kBase - 1));
  EXPECT_FALSE(memory.Load<uint8_t>(guest.end()));
  EXPECT_FALSE(memory.Load<uint64_t>(guest.end() - 4));
  EXPECT_FALSE(memory.Load<uint64_t>(UINT64_MAX - 3));
  EXPECT_FALSE(memory.Store<uint64_t>(guest.end() - 7, 1));
  EXPECT_TRUE(memory.Load<uint64_t>(guest.end() - 8));
}

TEST(GuestMemory, ARangeThatWrapsAroundIsRefused) {
  FakeMemory guest;
  EXPECT_FALSE(guest.memory().Contains({UINT64_MAX, 2}, Rights::kRead));
  EXPECT_FALSE(guest.memory().Contains({FakeMemory::kBase + 1, UINT32_MAX}, Rights::kRead));
  EXPECT_FALSE(guest.memory().Contains({UINT64_MAX - 10, UINT32_MAX}, Rights::kRead));
}

TEST(GuestMemory, ARangeThatCrossesFromRegionToRegionIsRefused) {
  const auto memory = MapTwo({0x1000, 0x1000, 0}, {0x2000, 0x1000, 0x1000}).value();
  EXPECT_TRUE(memory->Contains({0x1ff8, 8}, Rights::kRead));
  EXPECT_TRUE(memory->Contains({0x2000, 8}, Rights::kRead));
  EXPECT_FALSE(memory->Contains({0x1ffc, 8}, Rights::kRead));
}

TEST(GuestMemory, AReadOnlyRegionIsNotWritten) {
  const auto memory = MapTwo({0x1000, 0x1000, 0, Rights::kRead}, {0x8000, 0x1000, 0x1000}).value();
  EXPECT_FALSE(memory->Store<uint8_t>(0x1000, 1));
  EXPECT_FALSE(memory->StoreRelease16(0x1000, 1));
  EXPECT_TRUE(memory->Load<uint8_t>(0x1000));
  const GuestRange range = {0x1000, 16};
  EXPECT_EQ(memory->Zero({std::span(&range, 1), 0, 16}), 0u);
}

TEST(GuestMemory, RegionsThatOverlapAreEmptyOrTooLargeAreNotMapped) {
  EXPECT_FALSE(MapTwo({0x1000, 0x2000, 0}, {0x2000, 0x1000, 0}));
  EXPECT_FALSE(MapTwo({0x1000, 0, 0}, {0x2000, 0x1000, 0}));
  EXPECT_FALSE(MapTwo({0x1001, 0x1000, 0}, {0x8000, 0x1000, 0}));
  EXPECT_FALSE(MapTwo({UINT64_MAX - 0xfff, 0x1000, 0}, {0x8000, 0x1000, 0}));
  EXPECT_FALSE(MapTwo({0x1000, 0x1000, UINT64_MAX - 0xfff}, {0x8000, 0x1000, 0}));
}

TEST(GuestMemory, RingIndexesMustBeAligned) {
  FakeMemory guest;
  EXPECT_FALSE(guest.memory().LoadAcquire16(FakeMemory::kBase + 1));
  EXPECT_FALSE(guest.memory().StoreRelease16(FakeMemory::kBase + 1, 0));
  EXPECT_TRUE(guest.memory().StoreRelease16(FakeMemory::kBase + 2, 7));
  EXPECT_EQ(guest.memory().LoadAcquire16(FakeMemory::kBase + 2), 7);
}

TEST(GuestSlice, SubIsCutAtTheEnd) {
  const GuestSlice slice = {{}, 10, 100};
  EXPECT_EQ(slice.Sub(30, 20).skip, 40u);
  EXPECT_EQ(slice.Sub(30, 20).length, 20u);
  EXPECT_EQ(slice.Sub(90).length, 10u);
  EXPECT_EQ(slice.Sub(101).length, 0u);
  EXPECT_EQ(slice.Sub(UINT64_MAX, UINT64_MAX).length, 0u);
}

class SliceTest : public ::testing::Test {
 protected:
  FakeMemory guest_;
  // Three pieces in reverse order, so that neighbours on the slice are not neighbours in memory.
  std::array<GuestRange, 3> ranges_ = {{{FakeMemory::kBase + 0x300, 3},
                                        {FakeMemory::kBase + 0x200, 5},
                                        {FakeMemory::kBase + 0x100, 4}}};
  GuestSlice slice_ = {ranges_, 0, 12};

  std::string Content() const {
    ByteVector out(12);
    guest_.memory().Gather(slice_, out);
    return ToString(out);
  }
};

TEST_F(SliceTest, GathersWhatWasScattered) {
  EXPECT_EQ(guest_.memory().Scatter(slice_, ToBytes("abcdefghijkl")), 12u);
  EXPECT_EQ(Content(), "abcdefghijkl");
  ByteVector middle(6);
  EXPECT_EQ(guest_.memory().Gather(slice_.Sub(2, 6), middle), 6u);
  EXPECT_EQ(ToString(middle), "cdefgh");
  EXPECT_EQ(guest_.memory().Zero(slice_.Sub(3, 5)), 5u);
  EXPECT_EQ(Content(), std::string("abc\0\0\0\0\0ijkl", 12));
}

TEST_F(SliceTest, ReadsAndWritesFilesInPlace) {
  const base::UniqueFd file = base::CreateMemFd("disk").value();
  ASSERT_TRUE(base::PwriteFull(file.get(), ToBytes("0123456789abcdef"), 0));
  EXPECT_EQ(guest_.memory().ReadFile(file.get(), 4, slice_).value(), 12u);
  EXPECT_EQ(Content(), "456789abcdef");
  EXPECT_EQ(guest_.memory().WriteFile(file.get(), 100, slice_.Sub(3)).value(), 9u);
  ByteVector out(9);
  ASSERT_TRUE(base::PreadFull(file.get(), out, 100));
  EXPECT_EQ(ToString(out), "789abcdef");
}

TEST_F(SliceTest, SendsAndReceivesWithoutWaiting) {
  const base::Pair pair = base::MakeSocketPair(base::SocketType::kStream).value();
  EXPECT_EQ(guest_.memory().Receive(pair.first.get(), std::span(&slice_, 1)).error().code(),
            base::ErrorCode::kBusy);
  ASSERT_TRUE(base::WriteFull(pair.second.get(), "hello, world!"));
  const std::array parts = {slice_.Sub(0, 2), slice_.Sub(4, 8)};
  EXPECT_EQ(guest_.memory().Receive(pair.first.get(), parts).value(), 10u);
  EXPECT_EQ(Content(), std::string("he\0\0llo, wor", 12));
  EXPECT_EQ(guest_.memory().Send(pair.first.get(), slice_.Sub(4)).value(), 8u);
}

TEST_F(SliceTest, ASliceThatLeavesGuestMemoryDoesNoBulkTransfer) {
  ranges_[1].address = guest_.end() - 2;
  const base::UniqueFd file = base::CreateMemFd("disk").value();
  EXPECT_EQ(guest_.memory().WriteFile(file.get(), 0, slice_).error().code(),
            base::ErrorCode::kInvalid);
  EXPECT_EQ(base::Stat(file.get()).value().st_size, 0);
}

TEST_F(SliceTest, AHoleInTheGuestsFileIsAnErrorOfBulkTransfers) {
  ASSERT_EQ(::ftruncate(guest_.fd(), 0), 0);
  const base::UniqueFd file = base::CreateMemFd("disk").value();
  ASSERT_TRUE(base::PwriteFull(file.get(), ToBytes("0123456789abcdef"), 0));
  EXPECT_EQ(guest_.memory().ReadFile(file.get(), 0, slice_).error().sys_errno(), EFAULT);
}

TEST_F(SliceTest, MorePiecesThanOneSystemCallTakesMakeATransferShort) {
  std::vector<GuestRange> many;
  for (uint32_t i = 0; i < 1500; ++i) many.push_back({FakeMemory::kBase + 16ull * i, 8});
  const base::UniqueFd file = base::CreateMemFd("disk").value();
  EXPECT_EQ(guest_.memory().WriteFile(file.get(), 0, {many, 0, 1500 * 8}).value(), 1024u * 8);
}

}  // namespace
}  // namespace msb::virtio
