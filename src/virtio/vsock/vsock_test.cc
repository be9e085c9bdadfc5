#include <sys/socket.h>

#include <set>
#include <string>
#include <vector>

#include "src/virtio/vsock/vsock_fixture.h"

namespace msb::virtio::vsock {
namespace {

// --- opening -------------------------------------------------------------------------------------

TEST_F(VsockTest, TheConfigurationIsTheGuestsCid) {
  uint64_t cid = 0;
  device_->ReadConfig(0, std::as_writable_bytes(std::span(&cid, 1)));
  EXPECT_EQ(cid, kGuestCid);
}

TEST_F(VsockTest, TheAnnouncementIsRefusedAndReportedOnce) {
  Announce();
  Announce();
  EXPECT_EQ(events_.listening, 1);
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_F(VsockTest, StreamsAskedForBeforeTheAgentListensWaitForIt) {
  const base::UniqueFd early = OpenStream(1);
  EXPECT_FALSE(TryReceive());
  SendRaw(GuestHeader(Op::kRequest, 5000, kAgentPort));
  EXPECT_THAT(ReceiveOps(), ElementsAre(Op::kReset, Op::kRequest));
}

TEST_F(VsockTest, OtherPortsOfTheHostRefuseTheGuest) {
  SendRaw(GuestHeader(Op::kRequest, 5000, 22));
  const Packet reply = Receive();
  EXPECT_EQ(reply.op(), Op::kReset);
  EXPECT_EQ(reply.header.src_cid, kHostCid);
  EXPECT_EQ(reply.header.dst_cid, kGuestCid);
  EXPECT_EQ(reply.header.src_port, 22u);
  EXPECT_EQ(reply.header.dst_port, 5000u);
  EXPECT_EQ(events_.listening, 0);
}

TEST_F(VsockTest, AStreamCarriesBytesBothWays) {
  const base::UniqueFd host = Connect();
  WriteHost(host, "to the guest");
  const Packet packet = Receive();
  EXPECT_EQ(packet.op(), Op::kData);
  EXPECT_EQ(packet.header.length, 12u);
  EXPECT_EQ(packet.payload, "to the guest");
  Send(Op::kData, "to the host");
  EXPECT_EQ(ReadHost(host), "to the host");
}

TEST_F(VsockTest, BytesWrittenBeforeTheGuestAcceptsArrive) {
  Announce();
  const base::UniqueFd host = OpenStream(1);
  WriteHost(host, "early");
  const Packet request = Receive();
  ASSERT_EQ(request.op(), Op::kRequest);
  EXPECT_FALSE(TryReceive());
  host_port_ = request.header.src_port;
  Send(Op::kResponse);
  EXPECT_EQ(Receive().payload, "early");
}

TEST_F(VsockTest, AStreamTheGuestRefusesFails) {
  Announce();
  const base::UniqueFd host = OpenStream(9);
  host_port_ = Receive().header.src_port;
  Send(Op::kReset);
  EXPECT_THAT(events_.failed, ElementsAre(9u));
  EXPECT_TRUE(AtEnd(host));
}

TEST_F(VsockTest, StreamsHavePortsOfTheirOwn) {
  Announce();
  std::set<uint32_t> ports;
  std::vector<base::UniqueFd> hosts;
  for (uint32_t i = 0; i < 10; ++i) {
    hosts.push_back(OpenStream(i));
    ports.insert(Receive().header.src_port);
  }
  EXPECT_EQ(ports.size(), 10u);
}

TEST_F(VsockTest, ThereIsABoundToTheNumberOfStreams) {
  const int limit = static_cast<int>(VsockDevice::kMaxConnections);
  std::vector<base::UniqueFd> hosts;
  for (int i = 0; i < limit; ++i) {
    base::Pair pair = base::MakeSocketPair(base::SocketType::kStream).value();
    device_->OpenStream(static_cast<uint32_t>(i), kAgentPort, std::move(pair.second));
  }
  EXPECT_THAT(events_.failed, IsEmpty());
  OpenStream(5000);
  EXPECT_THAT(events_.failed, ElementsAre(5000u));
}

// --- closing -------------------------------------------------------------------------------------

TEST_F(VsockTest, TheHostMayEndItsHalf) {
  const base::UniqueFd host = Connect();
  WriteHost(host, "last");
  ::shutdown(host.get(), SHUT_WR);
  EXPECT_EQ(Receive().payload, "last");
  const Packet end = Receive();
  EXPECT_EQ(end.op(), Op::kShutdown);
  EXPECT_EQ(end.header.flags, uint32_t{kShutdownSend});
  Send(Op::kData, "still open this way");
  EXPECT_EQ(ReadHost(host), "still open this way");
}

TEST_F(VsockTest, TheGuestMayEndItsHalf) {
  const base::UniqueFd host = Connect();
  Send(Op::kData, "last");
  Send(Op::kShutdown, "", kShutdownSend);
  EXPECT_EQ(ReadHost(host), "last");
  EXPECT_TRUE(AtEnd(host));
  WriteHost(host, "still open this way");
  EXPECT_EQ(Receive().payload, "still open this way");
}

TEST_F(VsockTest, AGuestThatStopsReceivingStopsTheHost) {
  const base::UniqueFd host = Connect();
  Send(Op::kShutdown, "", kShutdownReceive);
  EXPECT_EQ(::send(host.get(), "x", 1, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  Send(Op::kData, "this way is open");
  EXPECT_EQ(ReadHost(host), "this way is open");
}

TEST_F(VsockTest, AGuestThatClosesIsAnsweredWithAReset) {
  const base::UniqueFd host = Connect();
  Send(Op::kShutdown, "", kShutdownSend | kShutdownReceive);
  EXPECT_EQ(Receive().op(), Op::kReset);
  EXPECT_EQ(device_->connections(), 0u);
  EXPECT_TRUE(AtEnd(host));
}

TEST_F(VsockTest, AHostThatClosesIsToldToTheGuestAfterItsData) {
  base::UniqueFd host = Connect();
  WriteHost(host, "bye");
  host.Reset();
  std::string received;
  uint32_t flags = 0;
  while (auto packet = TryReceive()) {
    received += packet->payload;
    if (packet->op() == Op::kShutdown) flags = packet->header.flags;
  }
  EXPECT_EQ(received, "bye");
  EXPECT_EQ(flags, kShutdownSend | kShutdownReceive);
  Send(Op::kReset);
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_F(VsockTest, WhatTheGuestSentBeforeItsResetReachesASlowHost) {
  const base::UniqueFd host = Connect();
  const std::string block(64 * 1024, 'x');
  // More than the socket takes: the rest waits in the device.
  size_t sent = 0;
  for (; sent < 256 * 1024; sent += block.size()) Send(Op::kData, block);
  Send(Op::kReset);
  size_t got = 0;
  for (std::string part = ReadHost(host); !part.empty(); part = ReadHost(host)) {
    got += part.size();
    driver_->RunUntilIdle();
  }
  EXPECT_EQ(got, sent);
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_F(VsockTest, DataForAHostThatIsGoneIsDroppedAndTheGuestTold) {
  base::UniqueFd host = Connect();
  host.Reset();
  Send(Op::kData, "nobody reads this");
  EXPECT_THAT(ReceiveOps(), ::testing::Contains(Op::kShutdown));
}

class TimeoutTest : public VsockTest {
 protected:
  TimeoutTest()
      : VsockTest({.guest_cid = kGuestCid,
                   .connect_timeout = std::chrono::milliseconds(1),
                   .close_timeout = std::chrono::milliseconds(1)}) {}
};

TEST_F(TimeoutTest, AStreamTheGuestNeverAnswersFails) {
  Announce();
  const base::UniqueFd host = OpenStream(4);
  while (events_.failed.empty()) driver_->RunOnceBlocking();
  EXPECT_THAT(events_.failed, ElementsAre(4u));
  EXPECT_EQ(device_->connections(), 0u);
  EXPECT_THAT(ReceiveOps(), ElementsAre(Op::kRequest, Op::kReset));
}

TEST_F(TimeoutTest, AGuestThatDoesNotAnswerACloseIsReset) {
  Announce();
  base::UniqueFd host = OpenStream(4);
  host_port_ = Receive().header.src_port;
  Send(Op::kResponse);
  if (!events_.failed.empty()) GTEST_SKIP() << "the millisecond passed before the answer";
  host.Reset();
  while (device_->connections() > 0) driver_->RunOnceBlocking();
  EXPECT_THAT(ReceiveOps(), ::testing::Contains(Op::kReset));
  EXPECT_THAT(events_.failed, IsEmpty());
}

// --- flow control --------------------------------------------------------------------------------

TEST_F(VsockTest, TheGuestIsNeverSentMoreThanItsCredit) {
  const base::UniqueFd host = Connect();
  ASSERT_TRUE(base::SetNonBlocking(host.get(), true));
  const std::string block(32 * 1024, 'x');
  size_t received = 0;
  for (int i = 0; i < 100; ++i) {
    (void)!::write(host.get(), block.data(), block.size());
    while (auto packet = TryReceive()) received += packet->payload.size();
  }
  EXPECT_EQ(received, kGuestBuffer);
  taken_ = 1000;
  Send(Op::kCreditUpdate);
  while (auto packet = TryReceive()) received += packet->payload.size();
  EXPECT_EQ(received, kGuestBuffer + 1000);
}

TEST_F(VsockTest, AGuestWithoutCreditIsAskedForItOnce) {
  const base::UniqueFd host = Connect();
  Header poor = GuestHeader(Op::kCreditUpdate, kAgentPort, host_port_);
  poor.buf_alloc = 4;
  SendRaw(poor);
  WriteHost(host, "123456789");
  EXPECT_EQ(Receive().payload, "1234");
  EXPECT_THAT(ReceiveOps(), ElementsAre(Op::kCreditRequest));
}

TEST_F(VsockTest, CreditOfZeroStopsTheHostAndNothingElse) {
  const base::UniqueFd host = Connect();
  Header poor = GuestHeader(Op::kCreditUpdate, kAgentPort, host_port_);
  poor.buf_alloc = 0;
  SendRaw(poor);
  WriteHost(host, "waits");
  EXPECT_FALSE(TryReceive());
  Send(Op::kData, "the other way");
  EXPECT_EQ(ReadHost(host), "the other way");
}

TEST_F(VsockTest, AGuestThatSaysItTookMoreThanItWasSentGetsNothing) {
  const base::UniqueFd host = Connect();
  taken_ = 5;
  Send(Op::kCreditUpdate);
  WriteHost(host, "data");
  EXPECT_FALSE(TryReceive());
}

TEST_F(VsockTest, CreditIsReturnedAtAQuarterOfTheWindow) {
  const base::UniqueFd host = Connect();
  const std::string block(Connection::kBufferBytes / 16, 'x');
  for (uint32_t i = 1; i <= 3; ++i) {
    Send(Op::kData, block);
    EXPECT_EQ(ReadHost(host).size(), block.size());
    EXPECT_FALSE(TryReceive());
  }
  Send(Op::kData, block);
  const Packet update = Receive();
  EXPECT_EQ(update.op(), Op::kCreditUpdate);
  EXPECT_EQ(update.header.fwd_cnt, Connection::kBufferBytes / 4);
  EXPECT_EQ(update.header.buf_alloc, Connection::kBufferBytes);
}

TEST_F(VsockTest, ACreditRequestIsAnswered) {
  const base::UniqueFd host = Connect();
  Send(Op::kData, "12345");
  Send(Op::kCreditRequest);
  const Packet update = Receive();
  EXPECT_EQ(update.op(), Op::kCreditUpdate);
  EXPECT_EQ(update.header.fwd_cnt, 5u);
}

TEST_F(VsockTest, ASlowReaderSlowsTheGuestAndLosesNothing) {
  const base::UniqueFd host = Connect();
  const std::string block(64 * 1024, 'x');
  uint32_t sent = 0;
  uint32_t told = 0;
  // As much as the credit allows, as a Linux guest does.
  const auto send_all = [&] {
    while (sent - told + block.size() <= Connection::kBufferBytes) {
      Send(Op::kData, block);
      sent += static_cast<uint32_t>(block.size());
      while (auto packet = TryReceive()) told = packet->header.fwd_cnt;
    }
  };
  send_all();
  const uint32_t stopped_at = sent;
  EXPECT_LT(stopped_at, 2u << 20);
  size_t got = 0;
  for (int i = 0; i < 64; ++i) {
    got += ReadHost(host, 100'000).size();
    while (auto packet = TryReceive()) told = packet->header.fwd_cnt;
    send_all();
  }
  EXPECT_GT(sent, stopped_at);
  for (std::string part = ReadHost(host); !part.empty(); part = ReadHost(host)) {
    got += part.size();
    driver_->RunUntilIdle();
  }
  EXPECT_EQ(got, sent);
}

TEST_F(VsockTest, OneReadOfTheHostFillsManyBuffersWithOneInterrupt) {
  const base::UniqueFd host = Connect();
  const int before = driver_->interrupts(0);
  driver_->queue(0).SetUsedEvent(driver_->queue(0).used_index());
  WriteHost(host, std::string(40'000, 'x'));
  EXPECT_EQ(driver_->queue(0).UsedCount(), 10u);
  EXPECT_EQ(driver_->interrupts(0), before + 1);
}

TEST_F(VsockTest, WithoutReceiveBuffersTheHostWaits) {
  UseEmptyQueues();
  FillReceiveQueue(2);
  const base::UniqueFd host = Connect();
  for (int i = 0; i < 10; ++i) (void)TryReceive();
  WriteHost(host, std::string(40'000, 'x'));
  size_t received = 0;
  while (auto packet = TryReceive()) received += packet->payload.size();
  EXPECT_EQ(received, 40'000u);
}

// --- reset ---------------------------------------------------------------------------------------

TEST_F(VsockTest, AResetEndsAllStreamsAndWaitsForTheAgentAgain) {
  const base::UniqueFd open = Connect(1);
  const base::UniqueFd connecting = OpenStream(2);
  driver_->ResetDevice();
  EXPECT_TRUE(AtEnd(open));
  EXPECT_TRUE(AtEnd(connecting));
  EXPECT_THAT(events_.failed, ElementsAre(2u));
  driver_->Activate();
  FillReceiveQueue(8);
  const base::UniqueFd later = OpenStream(3);
  EXPECT_FALSE(TryReceive());
  Announce();
  EXPECT_EQ(events_.listening, 2);
  EXPECT_EQ(Receive().op(), Op::kRequest);
}

}  // namespace
}  // namespace msb::virtio::vsock
