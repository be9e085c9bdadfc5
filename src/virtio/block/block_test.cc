#include "src/virtio/block/block.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "src/base/sys.h"
#include "src/virtio/testing/fake_driver.h"

namespace msb::virtio::block {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using virtio::testing::BytesOf;
using virtio::testing::ByteVector;
using virtio::testing::FakeDriver;
using virtio::testing::FakeMemory;
using virtio::testing::ToBytes;
using virtio::testing::ToString;

constexpr uint64_t kDiskBytes = 64 * 1024;
constexpr std::chrono::milliseconds kRetryAfter{1};

class Events : public BlockEvents {
 public:
  void DiskFull(const std::string&) override { log.push_back("full"); }
  void DiskResumed() override { log.push_back("resumed"); }
  void DiskFailed(const std::string&) override { log.push_back("failed"); }
  std::vector<std::string> log;
};

std::shared_ptr<const base::UniqueFd> MakeFile(std::string_view content, uint64_t size) {
  base::UniqueFd file = base::CreateMemFd("disk").value();
  CHECK(::ftruncate(file.get(), static_cast<off_t>(size)) == 0);
  CHECK(base::PwriteFull(file.get(), ToBytes(content), 0).has_value());
  return std::make_shared<const base::UniqueFd>(std::move(file));
}

std::string ReadBack(const base::UniqueFd& file, uint64_t offset, size_t size) {
  ByteVector out(size);
  CHECK(base::PreadFull(file.get(), out, offset).has_value());
  return ToString(out);
}

// `pattern` repeated to a number of sectors.
std::string Sectors(std::string_view pattern, size_t count = 1) {
  std::string out;
  while (out.size() < count * kSectorBytes) out += pattern;
  out.resize(count * kSectorBytes);
  return out;
}

class BlockTest : public ::testing::Test {
 protected:
  std::unique_ptr<BlockDevice> Make(std::vector<Disk::Part> parts, bool read_only,
                                    bool durable = true) {
    return BlockDevice::Create(*loop_, Disk::Create(std::move(parts), read_only).value(),
                               {"msb-disk-0", durable, kRetryAfter}, events_)
        .value();
  }
  void UseWritable(bool durable = true) {
    file_ = MakeFile("", kDiskBytes);
    device_ = Make({{file_, 0, kDiskBytes}}, false, durable);
    driver_ = std::make_unique<FakeDriver>(*device_, *loop_);
  }
  void UseReadOnly(std::vector<Disk::Part> parts) {
    device_ = Make(std::move(parts), true);
    driver_ = std::make_unique<FakeDriver>(*device_, *loop_);
  }

  static ByteVector Header(RequestType type, uint64_t sector) {
    return BytesOf(RequestHeader{static_cast<uint32_t>(type), 0, sector});
  }
  auto Request(RequestType type, uint64_t sector = 0) {
    auto builder = driver_->queue(0).Chain();
    builder.Readable(Header(type, sector));
    return builder;
  }
  // Status byte of a request's answer; the data before it goes to `data`.
  RequestStatus Finish(std::string* data = nullptr) {
    driver_->Kick(0);
    auto used = driver_->queue(0).Used();
    CHECK(!used.data.empty());
    const auto status = RequestStatus(used.data.back());
    used.data.pop_back();
    if (data != nullptr) *data = ToString(used.data);
    return status;
  }
  RequestStatus Read(uint64_t sector, uint32_t bytes, std::string* data) {
    Request(RequestType::kIn, sector).Writable(bytes).Writable(1).Send();
    return Finish(data);
  }
  // Writes answer with their status alone, at the place of the first written byte.
  RequestStatus Write(uint64_t sector, std::string_view data) {
    Request(RequestType::kOut, sector).Readable(ToBytes(data)).Writable(1).Send();
    return Finish();
  }
  RequestStatus Ranges(RequestType type, std::vector<RangeSegment> segments) {
    const auto bytes = std::as_bytes(std::span(segments));
    Request(type).Readable(bytes).Writable(1).Send();
    return Finish();
  }
  Config ReadConfig() {
    Config config;
    device_->ReadConfig(0, std::as_writable_bytes(std::span(&config, 1)));
    return config;
  }

  Events events_;
  std::unique_ptr<base::EventLoop> loop_ = base::EventLoop::Create().value();
  std::shared_ptr<const base::UniqueFd> file_;
  std::unique_ptr<BlockDevice> device_;
  std::unique_ptr<FakeDriver> driver_;
};

// --- what a disk is ------------------------------------------------------------------------------

TEST_F(BlockTest, AnExtentListIsOneDisk) {
  const auto metadata = MakeFile(Sectors("meta", 2), 2 * kSectorBytes);
  const auto blob = MakeFile(Sectors("skip") + Sectors("blob", 2), 3 * kSectorBytes);
  UseReadOnly({{metadata, 0, 2 * kSectorBytes},
               {nullptr, 0, kSectorBytes},
               {blob, kSectorBytes, 2 * kSectorBytes}});
  std::string data;
  EXPECT_EQ(Read(0, 5 * kSectorBytes, &data), RequestStatus::kOk);
  EXPECT_EQ(data, Sectors("meta", 2) + std::string(kSectorBytes, '\0') + Sectors("blob", 2));
  EXPECT_EQ(Read(1, 3 * kSectorBytes, &data), RequestStatus::kOk);
  EXPECT_EQ(data, Sectors("meta", 2).substr(kSectorBytes) + std::string(kSectorBytes, '\0') +
                      Sectors("blob"));
  EXPECT_EQ(ReadConfig().capacity, 5u);
}

TEST_F(BlockTest, BeyondAFilesEndThereAreZeroes) {
  UseReadOnly({{MakeFile("tail", 4), 0, 2 * kSectorBytes}});
  std::string data;
  EXPECT_EQ(Read(0, 2 * kSectorBytes, &data), RequestStatus::kOk);
  std::string expected = "tail";
  expected.resize(2 * kSectorBytes);
  EXPECT_EQ(data, expected);
}

TEST_F(BlockTest, AReadMayBeInPiecesOfAnySize) {
  UseReadOnly({{MakeFile(Sectors("0123456789", 2), 2 * kSectorBytes), 0, 2 * kSectorBytes}});
  // The status shares a part with the data.
  Request(RequestType::kIn, 0).Writable(1).Writable(1000).Writable(24).Indirect().Send();
  std::string data;
  EXPECT_EQ(Finish(&data), RequestStatus::kOk);
  EXPECT_EQ(data, Sectors("0123456789", 2));
}

TEST_F(BlockTest, OnlySensibleDisksAreMade) {
  const auto file = MakeFile("", kDiskBytes);
  EXPECT_FALSE(Disk::Create({}, true));
  EXPECT_FALSE(Disk::Create({{file, 0, 0}}, true));
  EXPECT_FALSE(Disk::Create({{file, 0, 100}}, true));
  EXPECT_FALSE(Disk::Create({{file, UINT64_MAX, 512}}, true));
  EXPECT_FALSE(Disk::Create({{file, INT64_MAX, 512}}, true));
  EXPECT_FALSE(Disk::Create({{file, 0, 1ull << 62}, {file, 0, 1ull << 62}}, true));
  EXPECT_FALSE(Disk::Create({{nullptr, 0, 512}}, false));
  EXPECT_FALSE(Disk::Create({{file, 0, 512}, {file, 512, 512}}, false));
}

TEST_F(BlockTest, AReadOnlyDiskOffersNeitherFlushNorDiscard) {
  UseReadOnly({{MakeFile("", kDiskBytes), 0, kDiskBytes}});
  EXPECT_TRUE(device_->features() & kFeatureReadOnly);
  EXPECT_FALSE(device_->features() & (kFeatureFlush | kFeatureDiscard | kFeatureWriteZeroes));
}

TEST_F(BlockTest, AWritableDiskOffersFlushDiscardAndWriteZeroes) {
  UseWritable();
  EXPECT_FALSE(device_->features() & kFeatureReadOnly);
  EXPECT_TRUE(device_->features() & kFeatureFlush);
  EXPECT_TRUE(device_->features() & kFeatureDiscard);
  EXPECT_TRUE(device_->features() & kFeatureWriteZeroes);
  EXPECT_GT(ReadConfig().max_discard_sectors, 0u);
}

TEST_F(BlockTest, ConfigurationBeyondItsEndReadsAsZeroes) {
  UseWritable();
  ByteVector out(64, std::byte{0xff});
  device_->ReadConfig(56, out);
  EXPECT_EQ(out[0], std::byte{1});  // write_zeroes_may_unmap
  EXPECT_EQ(out[10], std::byte{0});
  device_->ReadConfig(UINT32_MAX, out);
  EXPECT_EQ(out[0], std::byte{0});
}

// --- requests ------------------------------------------------------------------------------------

TEST_F(BlockTest, WhatIsWrittenIsRead) {
  UseWritable();
  EXPECT_EQ(Write(3, Sectors("hello", 2)), RequestStatus::kOk);
  EXPECT_EQ(ReadBack(*file_, 3 * kSectorBytes, 2 * kSectorBytes), Sectors("hello", 2));
  std::string data;
  EXPECT_EQ(Read(4, kSectorBytes, &data), RequestStatus::kOk);
  EXPECT_EQ(data, Sectors("hello", 2).substr(kSectorBytes));
}

TEST_F(BlockTest, AReadOnlyDiskIsNotWrittenWhateverTheDriverTries) {
  file_ = MakeFile(Sectors("keep"), kDiskBytes);
  UseReadOnly({{file_, 0, kDiskBytes}});
  EXPECT_EQ(Write(0, Sectors("evil")), RequestStatus::kIoError);
  EXPECT_EQ(Ranges(RequestType::kDiscard, {{0, 1, 0}}), RequestStatus::kUnsupported);
  EXPECT_EQ(Ranges(RequestType::kWriteZeroes, {{0, 1, 0}}), RequestStatus::kUnsupported);
  EXPECT_EQ(ReadBack(*file_, 0, kSectorBytes), Sectors("keep"));
}

TEST_F(BlockTest, RequestsBeyondTheDiskFail) {
  UseWritable();
  const uint64_t sectors = kDiskBytes / kSectorBytes;
  std::string data;
  EXPECT_EQ(Read(sectors, kSectorBytes, &data), RequestStatus::kIoError);
  EXPECT_EQ(Read(sectors - 1, 2 * kSectorBytes, &data), RequestStatus::kIoError);
  EXPECT_EQ(Read(UINT64_MAX, kSectorBytes, &data), RequestStatus::kIoError);
  EXPECT_EQ(Read(UINT64_MAX / kSectorBytes + 1, kSectorBytes, &data), RequestStatus::kIoError);
  EXPECT_EQ(Write(sectors - 1, Sectors("x", 2)), RequestStatus::kIoError);
  EXPECT_EQ(base::Stat(file_->get()).value().st_size, static_cast<off_t>(kDiskBytes));
  EXPECT_EQ(Read(sectors - 1, kSectorBytes, &data), RequestStatus::kOk);
}

TEST_F(BlockTest, EachPartWithinTheDiskButTheSumBeyondItFails) {
  UseWritable();
  const auto half = static_cast<uint32_t>(kDiskBytes / 2);
  Request(RequestType::kIn, 0).Writable(half).Writable(half).Writable(half).Writable(1).Send();
  EXPECT_EQ(Finish(), RequestStatus::kIoError);
}

TEST_F(BlockTest, AnOddNumberOfBytesFails) {
  UseWritable();
  std::string data;
  EXPECT_EQ(Read(0, 100, &data), RequestStatus::kIoError);
  EXPECT_EQ(Write(0, "short"), RequestStatus::kIoError);
}

TEST_F(BlockTest, ARequestWithoutRoomForAnAnswerIsGivenBack) {
  UseWritable();
  driver_->queue(0).Chain().Readable(Header(RequestType::kIn, 0)).Send();
  driver_->queue(0).Chain().Readable(ToBytes("short")).Writable(1).Send();
  driver_->queue(0).Chain().Writable(1).Send();
  driver_->Kick(0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(driver_->queue(0).Used().written, 0u);
  EXPECT_THAT(driver_->broken(), IsEmpty());
}

TEST_F(BlockTest, AMalformedRequestDoesNotStallThoseBehindIt) {
  UseWritable();
  driver_->queue(0).Chain().Part(1, 16, false).Writable(1).Send();
  Request(RequestType::kIn, 0).Writable(kSectorBytes).Writable(1).Send();
  driver_->Kick(0);
  EXPECT_EQ(driver_->queue(0).Used().written, 0u);
  EXPECT_EQ(driver_->queue(0).Used().written, kSectorBytes + 1);
}

TEST_F(BlockTest, AnUnknownRequestIsUnsupported) {
  UseWritable();
  Request(RequestType{99}).Writable(1).Send();
  EXPECT_EQ(Finish(), RequestStatus::kUnsupported);
}

TEST_F(BlockTest, TheDiskSaysItsName) {
  UseWritable();
  std::string data;
  Request(RequestType::kGetId).Writable(kIdBytes).Writable(1).Send();
  EXPECT_EQ(Finish(&data), RequestStatus::kOk);
  EXPECT_EQ(data, std::string("msb-disk-0") + std::string(10, '\0'));
  Request(RequestType::kGetId).Writable(3).Writable(1).Send();
  EXPECT_EQ(Finish(&data), RequestStatus::kOk);
  EXPECT_EQ(data, "msb");
}

TEST_F(BlockTest, DiscardAndWriteZeroesLeaveZeroes) {
  UseWritable();
  ASSERT_EQ(Write(0, Sectors("data", 32)), RequestStatus::kOk);
  EXPECT_EQ(Ranges(RequestType::kDiscard, {{1, 1, 0}, {3, 2, 0}}), RequestStatus::kOk);
  EXPECT_EQ(Ranges(RequestType::kWriteZeroes, {{8, 8, kSegmentUnmap}}), RequestStatus::kOk);
  const std::string all = ReadBack(*file_, 0, 32 * kSectorBytes);
  for (size_t sector = 0; sector < 32; ++sector) {
    const bool zero = sector == 1 || sector == 3 || sector == 4 || (sector >= 8 && sector < 16);
    EXPECT_EQ(all[sector * kSectorBytes] == '\0', zero) << sector;
  }
}

TEST_F(BlockTest, RangesThatLeaveTheDiskOrOverflowFailAsAWhole) {
  UseWritable();
  const uint64_t sectors = kDiskBytes / kSectorBytes;
  ASSERT_EQ(Write(0, Sectors("data")), RequestStatus::kOk);
  const auto discard = [this](RangeSegment segment) {
    return Ranges(RequestType::kDiscard, {{0, 1, 0}, segment});
  };
  EXPECT_EQ(discard({sectors - 1, 2, 0}), RequestStatus::kIoError);
  EXPECT_EQ(discard({UINT64_MAX, 2, 0}), RequestStatus::kIoError);
  EXPECT_EQ(discard({1ull << 55, UINT32_MAX, 0}), RequestStatus::kIoError);
  EXPECT_EQ(discard({0, UINT32_MAX, 0}), RequestStatus::kIoError);
  EXPECT_EQ(discard({0, 1, kSegmentUnmap}), RequestStatus::kUnsupported);
  EXPECT_EQ(Ranges(RequestType::kWriteZeroes, {{0, 1, 2}}), RequestStatus::kUnsupported);
  EXPECT_EQ(ReadBack(*file_, 0, kSectorBytes), Sectors("data"));
}

TEST_F(BlockTest, TooManyRangesOrNoneFail) {
  UseWritable();
  EXPECT_EQ(Ranges(RequestType::kDiscard, {}), RequestStatus::kIoError);
  EXPECT_EQ(Ranges(RequestType::kDiscard, std::vector<RangeSegment>(17)), RequestStatus::kIoError);
  Request(RequestType::kDiscard).Readable(ToBytes("not a segment")).Writable(1).Send();
  EXPECT_EQ(Finish(), RequestStatus::kIoError);
}

// --- flush ---------------------------------------------------------------------------------------

TEST_F(BlockTest, AFlushIsAnsweredWhenTheHostHasDoneIt) {
  UseWritable();
  Request(RequestType::kFlush).Writable(1).Send();
  driver_->Kick(0);
  driver_->RunUntilUsed(0);
  EXPECT_EQ(driver_->queue(0).Used().data, ByteVector{std::byte{0}});
}

TEST_F(BlockTest, RequestsOvertakeAFlush) {
  UseWritable();
  // Not run to the end: the flush is answered by an event, never within the kick.
  const uint16_t flush = Request(RequestType::kFlush).Writable(1).Send();
  const uint16_t read = Request(RequestType::kIn, 0).Writable(kSectorBytes).Writable(1).Send();
  device_->Kick(0);
  EXPECT_EQ(driver_->queue(0).Used().head, read);
  driver_->RunUntilUsed(0);
  EXPECT_EQ(driver_->queue(0).Used().head, flush);
}

TEST_F(BlockTest, FlushesThatComeWhileOneIsUnderWayAreAllAnswered) {
  UseWritable();
  for (int i = 0; i < 5; ++i) {
    Request(RequestType::kFlush).Writable(1).Send();
    device_->Kick(0);
  }
  for (int i = 0; i < 5; ++i) {
    driver_->RunUntilUsed(0);
    EXPECT_EQ(driver_->queue(0).Used().data, ByteVector{std::byte{0}});
  }
}

TEST_F(BlockTest, ATemporaryDiskOffersNoFlushAndAnswersOneAtOnce) {
  UseWritable(/*durable=*/false);
  EXPECT_FALSE(device_->features() & kFeatureFlush);
  Request(RequestType::kFlush).Writable(1).Send();
  EXPECT_EQ(Finish(), RequestStatus::kOk);
}

TEST_F(BlockTest, AFlushThatFailsIsReportedAndNeverAnswered) {
  const base::Pair pair = base::MakePipe().value();
  // A pipe cannot be flushed: EINVAL.
  device_ =
      Make({{std::make_shared<const base::UniqueFd>(::dup(pair.first.get())), 0, 512}}, false);
  driver_ = std::make_unique<FakeDriver>(*device_, *loop_);
  Request(RequestType::kFlush).Writable(1).Send();
  driver_->Kick(0);
  while (events_.log.empty()) driver_->RunOnceBlocking();
  EXPECT_THAT(events_.log, ElementsAre("failed"));
  EXPECT_EQ(driver_->queue(0).UsedCount(), 0u);
}

// --- a full host disk ----------------------------------------------------------------------------

// Every write to /dev/full meets ENOSPC.
class FullDiskTest : public BlockTest {
 protected:
  void SetUp() override {
    // A descriptor that first leads to /dev/full and later, by dup2, to a file with room.
    base::UniqueFd full = base::OpenFile("/dev/full", O_RDWR).value();
    number_ = full.get();
    device_ = Make({{std::make_shared<const base::UniqueFd>(std::move(full)), 0, kDiskBytes}},
                   false, /*durable=*/false);
    driver_ = std::make_unique<FakeDriver>(*device_, *loop_);
  }
  void MakeRoom() {
    file_ = MakeFile("", kDiskBytes);
    ASSERT_EQ(::dup2(file_->get(), number_), number_);
  }
  int number_ = -1;
};

TEST_F(FullDiskTest, AFullHostDiskStopsTheQueueWithoutAnError) {
  Request(RequestType::kOut, 0).Readable(ToBytes(Sectors("one"))).Writable(1).Send();
  Request(RequestType::kIn, 0).Writable(kSectorBytes).Writable(1).Send();
  driver_->Kick(0);
  driver_->Kick(0);
  EXPECT_EQ(driver_->queue(0).UsedCount(), 0u);
  EXPECT_THAT(events_.log, ElementsAre("full"));
}

TEST_F(FullDiskTest, ResumeWithoutRoomChangesNothingAndSaysNothing) {
  Request(RequestType::kOut, 0).Readable(ToBytes(Sectors("one"))).Writable(1).Send();
  driver_->Kick(0);
  device_->Resume();
  device_->Resume();
  EXPECT_EQ(driver_->queue(0).UsedCount(), 0u);
  EXPECT_THAT(events_.log, ElementsAre("full"));
}

TEST_F(FullDiskTest, WithRoomAgainEverythingGoesOnInOrder) {
  const uint16_t first =
      Request(RequestType::kOut, 0).Readable(ToBytes(Sectors("one"))).Writable(1).Send();
  const uint16_t second =
      Request(RequestType::kOut, 1).Readable(ToBytes(Sectors("two"))).Writable(1).Send();
  driver_->Kick(0);
  MakeRoom();
  device_->Resume();
  EXPECT_THAT(events_.log, ElementsAre("full", "resumed"));
  for (const uint16_t head : {first, second}) {
    const auto used = driver_->queue(0).Used();
    EXPECT_EQ(used.head, head);
    EXPECT_EQ(used.data, ByteVector{std::byte{0}});
  }
  EXPECT_EQ(ReadBack(*file_, 0, 2 * kSectorBytes), Sectors("one") + Sectors("two"));
  EXPECT_EQ(driver_->interrupts(0), 1);
}

TEST_F(FullDiskTest, TheDiskTriesAgainByItself) {
  Request(RequestType::kOut, 0).Readable(ToBytes(Sectors("one"))).Writable(1).Send();
  driver_->Kick(0);
  MakeRoom();
  driver_->RunUntilUsed(0);
  EXPECT_THAT(events_.log, ElementsAre("full", "resumed"));
}

TEST_F(FullDiskTest, AResetForgetsTheStoppedRequest) {
  Request(RequestType::kOut, 0).Readable(ToBytes(Sectors("one"))).Writable(1).Send();
  driver_->Kick(0);
  driver_->ResetDevice();
  device_->Resume();
  EXPECT_THAT(events_.log, ElementsAre("full"));
}

// --- the rest ------------------------------------------------------------------------------------

TEST_F(BlockTest, ABatchOfRequestsCostsOneInterrupt) {
  UseWritable();
  for (int i = 0; i < 10; ++i) {
    Request(RequestType::kIn, 0).Writable(kSectorBytes).Writable(1).Send();
  }
  driver_->Kick(0);
  EXPECT_EQ(driver_->queue(0).UsedCount(), 10u);
  EXPECT_EQ(driver_->interrupts(0), 1);
}

TEST_F(BlockTest, ABrokenQueueStopsTheDeviceAndIsReported) {
  UseWritable();
  driver_->queue(0).MakeAvailable(1000);
  driver_->Kick(0);
  EXPECT_EQ(driver_->broken(), "a head beyond the descriptor table");
  driver_->Kick(0);
}

TEST_F(BlockTest, GuestMemoryWithAHoleIsReported) {
  UseWritable();
  const uint64_t buffer = driver_->memory().end() - 4096;
  Request(RequestType::kIn, 0).Part(buffer, kSectorBytes, true).Writable(1).Send();
  ASSERT_EQ(::ftruncate(driver_->memory().fd(), static_cast<off_t>(buffer - FakeMemory::kBase)), 0);
  driver_->Kick(0);
  EXPECT_EQ(driver_->broken(), "the guest broke its memory");
}

TEST_F(BlockTest, AResetWithAFlushUnderWayIsQuiet) {
  UseWritable();
  Request(RequestType::kFlush).Writable(1).Send();
  Request(RequestType::kFlush).Writable(1).Send();
  device_->Kick(0);
  driver_->ResetDevice();
  driver_->Activate();
  // The device works again, and the late end of the old flush disturbs nobody.
  Request(RequestType::kFlush).Writable(1).Send();
  driver_->Kick(0);
  driver_->RunUntilUsed(0);
  EXPECT_EQ(driver_->queue(0).Used().data, ByteVector{std::byte{0}});
  driver_->RunUntilIdle();
  EXPECT_EQ(driver_->queue(0).UsedCount(), 0u);
}

TEST_F(BlockTest, TearDownWithAFlushUnderWayWaitsForIt) {
  UseWritable();
  Request(RequestType::kFlush).Writable(1).Send();
  device_->Kick(0);
  driver_.reset();
  device_.reset();
}

TEST_F(BlockTest, LargeTransfersTakeTurns) {
  const auto file = MakeFile("", 16 << 20);
  device_ = Make({{file, 0, 16 << 20}}, true);
  driver_ = std::make_unique<FakeDriver>(*device_, *loop_);
  const uint64_t buffer = driver_->memory().Allocate(1 << 20);
  for (int i = 0; i < 8; ++i) {
    Request(RequestType::kIn, 0).Part(buffer, 1 << 20, true).Writable(1).Send();
  }
  device_->Kick(0);
  EXPECT_EQ(driver_->queue(0).UsedCount(), 4u);  // then the loop serves others
  driver_->RunUntilIdle();
  EXPECT_EQ(driver_->queue(0).UsedCount(), 8u);
}

}  // namespace
}  // namespace msb::virtio::block
