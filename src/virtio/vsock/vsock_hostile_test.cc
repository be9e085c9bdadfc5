// What a guest that breaks the protocol, or its memory, can and cannot do.
#include <string>

#include "src/virtio/vsock/vsock_fixture.h"

namespace msb::virtio::vsock {
namespace {

using HostileGuestTest = VsockTest;

TEST_F(HostileGuestTest, PacketsWithForgedAddressesAreDropped) {
  const base::UniqueFd host = Connect();
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.length = 4;
  header.src_cid = kGuestCid + 1;
  SendRaw(header, "evil");
  header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.length = 4;
  header.dst_cid = 99;
  SendRaw(header, "evil");
  EXPECT_FALSE(TryReceive());
  EXPECT_EQ(ReadHost(host), "");
}

TEST_F(HostileGuestTest, AHeaderThatPromisesMoreThanThePacketHasResetsTheStream) {
  const base::UniqueFd host = Connect();
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.length = 100;
  SendRaw(header, "short");
  EXPECT_EQ(Receive().op(), Op::kReset);
  EXPECT_TRUE(AtEnd(host));
}

TEST_F(HostileGuestTest, BytesBeyondTheHeadersLengthAreIgnored) {
  const base::UniqueFd host = Connect();
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.length = 3;
  SendRaw(header, "abcdef");
  EXPECT_EQ(ReadHost(host), "abc");
}

TEST_F(HostileGuestTest, APacketThatIsTooLargeResetsTheStream) {
  const base::UniqueFd host = Connect();
  Send(Op::kData, std::string(kMaxPayload + 1, 'x'));
  EXPECT_EQ(Receive().op(), Op::kReset);
}

TEST_F(HostileGuestTest, AGuestThatSendsBeyondItsCreditIsReset) {
  const base::UniqueFd host = Connect();
  std::vector<Op> ops;
  for (int i = 0; i < 64 && device_->connections() > 0; ++i) {
    Send(Op::kData, std::string(64 * 1024, 'x'));
    for (const Op op : ReceiveOps()) ops.push_back(op);
  }
  ASSERT_FALSE(ops.empty());
  EXPECT_EQ(ops.back(), Op::kReset);
}

TEST_F(HostileGuestTest, AShortPacketIsGivenBackAndIgnored) {
  driver_->queue(1).Chain().Readable(ToBytes("short")).Send();
  driver_->queue(1).Chain().Writable(100).Send();
  driver_->Kick(1);
  EXPECT_EQ(driver_->queue(1).UsedCount(), 2u);
  EXPECT_THAT(driver_->broken(), IsEmpty());
}

TEST_F(HostileGuestTest, PacketsOfNoStreamAreAnsweredWithAReset) {
  for (const Op op : {Op::kResponse, Op::kData, Op::kShutdown, Op::kCreditUpdate, Op{77}}) {
    SendRaw(GuestHeader(op, 1, 2));
    EXPECT_EQ(Receive().op(), Op::kReset);
  }
  SendRaw(GuestHeader(Op::kReset, 1, 2));
  EXPECT_FALSE(TryReceive());
}

TEST_F(HostileGuestTest, AnUnknownTypeIsAnsweredWithAResetAndTouchesNoStream) {
  const base::UniqueFd host = Connect();
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.type = 2;
  header.length = 4;
  SendRaw(header, "evil");
  EXPECT_EQ(Receive().op(), Op::kReset);
  EXPECT_EQ(ReadHost(host), "");
  EXPECT_EQ(device_->connections(), 1u);
}

TEST_F(HostileGuestTest, OpsThatDoNotFitTheStreamsStateResetIt) {
  for (const Op op : {Op::kRequest, Op::kResponse, Op::kInvalid, Op{77}}) {
    const base::UniqueFd host = Connect();
    Send(op);
    EXPECT_EQ(Receive().op(), Op::kReset);
    EXPECT_EQ(device_->connections(), 0u);
  }
  Announce();
  const base::UniqueFd host = OpenStream(42);
  host_port_ = Receive().header.src_port;
  Send(Op::kData, "before the answer");
  EXPECT_EQ(Receive().op(), Op::kReset);
  EXPECT_THAT(events_.failed, ElementsAre(42u));
}

TEST_F(HostileGuestTest, DataAfterTheGuestsEndResetsTheStream) {
  const base::UniqueFd host = Connect();
  Send(Op::kShutdown, "", kShutdownSend);
  Send(Op::kData, "more");
  EXPECT_EQ(Receive().op(), Op::kReset);
}

TEST_F(HostileGuestTest, AStormOfStrayPacketsOwesABoundedNumberOfResets) {
  UseEmptyQueues();
  for (uint32_t i = 0; i < 1000; ++i) SendRaw(GuestHeader(Op::kData, i, 2));
  size_t resets = 0;
  FillReceiveQueue(32);
  while (TryReceive()) ++resets;
  EXPECT_EQ(resets, VsockDevice::kMaxResets);
}

TEST_F(HostileGuestTest, ReceiveBuffersThatAreTooSmallAreGivenBack) {
  UseEmptyQueues();
  for (const uint32_t bytes : {1u, 43u, 44u}) driver_->queue(0).Chain().Writable(bytes).Send();
  driver_->queue(0).Chain().Readable(ToBytes("not writable")).Send();
  SendRaw(GuestHeader(Op::kData, 1, 2));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(driver_->queue(0).Used().written, 0u);
  FillReceiveQueue(1);
  EXPECT_EQ(Receive().op(), Op::kReset);
}

TEST_F(HostileGuestTest, AHeaderMayBeSplitOverParts) {
  UseEmptyQueues();
  driver_->queue(0).Chain().Writable(10).Writable(40).Writable(100).Send();
  const ByteVector header = BytesOf(GuestHeader(Op::kData, 1, 2));
  driver_->queue(1)
      .Chain()
      .Readable(std::span(header).first(7))
      .Readable(std::span(header).subspan(7))
      .Indirect()
      .Send();
  driver_->Kick(1);
  EXPECT_EQ(Receive().op(), Op::kReset);
}

TEST_F(HostileGuestTest, ABrokenQueueStopsTheDeviceAndIsReported) {
  driver_->queue(1).SetAvailableIndex(5000);
  driver_->Kick(1);
  EXPECT_EQ(driver_->broken(), "the available index leapt past the queue's size");
  driver_->Kick(1);
  driver_->Kick(0);
}

TEST_F(HostileGuestTest, GuestMemoryWithAHoleIsReported) {
  const base::UniqueFd host = Connect();
  const uint64_t hole = driver_->memory().end() - 4096;
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.length = 100;
  driver_->queue(1).Chain().Readable(BytesOf(header)).Part(hole, 100, false).Send();
  ASSERT_EQ(::ftruncate(driver_->memory().fd(), static_cast<off_t>(hole - FakeMemory::kBase)), 0);
  driver_->Kick(1);
  EXPECT_EQ(driver_->broken(), "the guest broke its memory");
}

}  // namespace
}  // namespace msb::virtio::vsock
