#include "src/virtio/vsock/vsock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "src/base/sys.h"
#include "src/virtio/testing/fake_driver.h"

namespace msb::virtio::vsock {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using virtio::testing::BytesOf;
using virtio::testing::ByteVector;
using virtio::testing::FakeDriver;
using virtio::testing::FakeMemory;
using virtio::testing::ToBytes;
using virtio::testing::ToString;

constexpr uint32_t kGuestCid = 7;
constexpr uint32_t kAgentPort = 1024;
constexpr uint32_t kGuestBuffer = 256 * 1024;

class Events : public VsockEvents {
 public:
  void AgentListening() override { ++listening; }
  void StreamFailed(uint32_t id, const std::string&) override { failed.push_back(id); }
  int listening = 0;
  std::vector<uint32_t> failed;
};

struct Packet {
  Header header;
  std::string payload;
  Op op() const { return Op{header.op}; }
};

class VsockTest : public ::testing::Test {
 protected:
  explicit VsockTest(VsockOptions options = {.guest_cid = kGuestCid})
      : device_(VsockDevice::Create(*loop_, options, events_).value()),
        driver_(std::make_unique<FakeDriver>(*device_, *loop_)) {
    FillReceiveQueue(32);
  }

  void UseEmptyQueues() {
    driver_.reset();  // resets the device
    driver_ = std::make_unique<FakeDriver>(*device_, *loop_);
  }

  // --- the guest ---
  void FillReceiveQueue(int count, uint32_t bytes = 4096) {
    for (int i = 0; i < count; ++i) driver_->queue(0).Chain().Writable(bytes).Send();
    driver_->Kick(0);
  }
  Header GuestHeader(Op op, uint32_t guest_port, uint32_t host_port) const {
    return {.src_cid = kGuestCid,
            .dst_cid = kHostCid,
            .src_port = guest_port,
            .dst_port = host_port,
            .length = 0,
            .type = kTypeStream,
            .op = static_cast<uint16_t>(op),
            .flags = 0,
            .buf_alloc = kGuestBuffer,
            .fwd_cnt = taken_};
  }
  void SendRaw(const Header& header, std::string_view payload = "") {
    auto builder = driver_->queue(1).Chain();
    builder.Readable(BytesOf(header));
    if (!payload.empty()) builder.Readable(ToBytes(payload));
    builder.Send();
    driver_->Kick(1);
    driver_->queue(1).Used();
  }
  void Send(Op op, std::string_view payload = "", uint32_t flags = 0) {
    Header header = GuestHeader(op, kAgentPort, host_port_);
    header.length = static_cast<uint32_t>(payload.size());
    header.flags = flags;
    SendRaw(header, payload);
  }
  std::optional<Packet> TryReceive() {
    driver_->RunUntilIdle();
    const auto used = driver_->queue(0).TryUsed();
    if (!used) return std::nullopt;
    CHECK(used->data.size() >= kHeaderBytes);
    Packet packet;
    std::memcpy(&packet.header, used->data.data(), sizeof packet.header);
    packet.payload = ToString(std::span(used->data).subspan(kHeaderBytes));
    driver_->queue(0).Chain().Writable(4096).Send();
    driver_->Kick(0);
    return packet;
  }
  Packet Receive() {
    auto packet = TryReceive();
    CHECK(packet.has_value());
    return *std::move(packet);
  }
  // The ops of everything the guest was sent.
  std::vector<Op> ReceiveOps() {
    std::vector<Op> ops;
    while (auto packet = TryReceive()) ops.push_back(packet->op());
    return ops;
  }
  void Announce() {
    SendRaw(GuestHeader(Op::kRequest, 5000, kAgentPort));
    ASSERT_EQ(Receive().op(), Op::kReset);
  }

  // --- the host ---
  base::UniqueFd OpenStream(uint32_t id, uint32_t port = kAgentPort) {
    base::Pair pair = base::MakeSocketPair(base::SocketType::kStream, true).value();
    device_->OpenStream(id, port, std::move(pair.second));
    driver_->RunUntilIdle();
    return std::move(pair.first);
  }
  // A stream that the guest has accepted.
  base::UniqueFd Connect(uint32_t id = 1) {
    if (events_.listening == 0) Announce();
    base::UniqueFd host = OpenStream(id);
    const Packet request = Receive();
    CHECK(request.op() == Op::kRequest);
    host_port_ = request.header.src_port;
    Send(Op::kResponse);
    return host;
  }
  static std::string ReadHost(const base::UniqueFd& fd, size_t most = 1 << 20) {
    std::string out(most, '\0');
    const ssize_t got = ::read(fd.get(), out.data(), out.size());
    out.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return out;
  }
  static bool AtEnd(const base::UniqueFd& fd) {
    char byte;
    return ::read(fd.get(), &byte, 1) == 0;
  }
  void WriteHost(const base::UniqueFd& fd, std::string_view text) {
    ASSERT_TRUE(base::WriteFull(fd.get(), text));
    driver_->RunUntilIdle();
  }

  Events events_;
  std::unique_ptr<base::EventLoop> loop_ = base::EventLoop::Create().value();
  std::unique_ptr<VsockDevice> device_;
  std::unique_ptr<FakeDriver> driver_;
  uint32_t host_port_ = 0;
  uint32_t taken_ = 0;  // by the guest, of what it was sent
};

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

// --- hostile guests ------------------------------------------------------------------------------

TEST_F(VsockTest, PacketsWithForgedAddressesAreDropped) {
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

TEST_F(VsockTest, AHeaderThatPromisesMoreThanThePacketHasResetsTheStream) {
  const base::UniqueFd host = Connect();
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.length = 100;
  SendRaw(header, "short");
  EXPECT_EQ(Receive().op(), Op::kReset);
  EXPECT_TRUE(AtEnd(host));
}

TEST_F(VsockTest, BytesBeyondTheHeadersLengthAreIgnored) {
  const base::UniqueFd host = Connect();
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.length = 3;
  SendRaw(header, "abcdef");
  EXPECT_EQ(ReadHost(host), "abc");
}

TEST_F(VsockTest, APacketThatIsTooLargeResetsTheStream) {
  const base::UniqueFd host = Connect();
  Send(Op::kData, std::string(kMaxPayload + 1, 'x'));
  EXPECT_EQ(Receive().op(), Op::kReset);
}

TEST_F(VsockTest, AGuestThatSendsBeyondItsCreditIsReset) {
  const base::UniqueFd host = Connect();
  std::vector<Op> ops;
  for (int i = 0; i < 64 && device_->connections() > 0; ++i) {
    Send(Op::kData, std::string(64 * 1024, 'x'));
    for (const Op op : ReceiveOps()) ops.push_back(op);
  }
  ASSERT_FALSE(ops.empty());
  EXPECT_EQ(ops.back(), Op::kReset);
}

TEST_F(VsockTest, AShortPacketIsGivenBackAndIgnored) {
  driver_->queue(1).Chain().Readable(ToBytes("short")).Send();
  driver_->queue(1).Chain().Writable(100).Send();
  driver_->Kick(1);
  EXPECT_EQ(driver_->queue(1).UsedCount(), 2u);
  EXPECT_THAT(driver_->broken(), IsEmpty());
}

TEST_F(VsockTest, PacketsOfNoStreamAreAnsweredWithAReset) {
  for (const Op op : {Op::kResponse, Op::kData, Op::kShutdown, Op::kCreditUpdate, Op{77}}) {
    SendRaw(GuestHeader(op, 1, 2));
    EXPECT_EQ(Receive().op(), Op::kReset);
  }
  SendRaw(GuestHeader(Op::kReset, 1, 2));
  EXPECT_FALSE(TryReceive());
}

TEST_F(VsockTest, AnUnknownTypeIsAnsweredWithAResetAndTouchesNoStream) {
  const base::UniqueFd host = Connect();
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.type = 2;
  header.length = 4;
  SendRaw(header, "evil");
  EXPECT_EQ(Receive().op(), Op::kReset);
  EXPECT_EQ(ReadHost(host), "");
  EXPECT_EQ(device_->connections(), 1u);
}

TEST_F(VsockTest, OpsThatDoNotFitTheStreamsStateResetIt) {
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

TEST_F(VsockTest, DataAfterTheGuestsEndResetsTheStream) {
  const base::UniqueFd host = Connect();
  Send(Op::kShutdown, "", kShutdownSend);
  Send(Op::kData, "more");
  EXPECT_EQ(Receive().op(), Op::kReset);
}

TEST_F(VsockTest, AStormOfStrayPacketsOwesABoundedNumberOfResets) {
  UseEmptyQueues();
  for (uint32_t i = 0; i < 1000; ++i) SendRaw(GuestHeader(Op::kData, i, 2));
  size_t resets = 0;
  FillReceiveQueue(32);
  while (TryReceive()) ++resets;
  EXPECT_EQ(resets, VsockDevice::kMaxResets);
}

TEST_F(VsockTest, ReceiveBuffersThatAreTooSmallAreGivenBack) {
  UseEmptyQueues();
  for (const uint32_t bytes : {1u, 43u, 44u}) driver_->queue(0).Chain().Writable(bytes).Send();
  driver_->queue(0).Chain().Readable(ToBytes("not writable")).Send();
  SendRaw(GuestHeader(Op::kData, 1, 2));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(driver_->queue(0).Used().written, 0u);
  FillReceiveQueue(1);
  EXPECT_EQ(Receive().op(), Op::kReset);
}

TEST_F(VsockTest, AHeaderMayBeSplitOverParts) {
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

TEST_F(VsockTest, ABrokenQueueStopsTheDeviceAndIsReported) {
  driver_->queue(1).SetAvailableIndex(5000);
  driver_->Kick(1);
  EXPECT_EQ(driver_->broken(), "the available index leapt past the queue's size");
  driver_->Kick(1);
  driver_->Kick(0);
}

TEST_F(VsockTest, GuestMemoryWithAHoleIsReported) {
  const base::UniqueFd host = Connect();
  const uint64_t hole = driver_->memory().end() - 4096;
  Header header = GuestHeader(Op::kData, kAgentPort, host_port_);
  header.length = 100;
  driver_->queue(1).Chain().Readable(BytesOf(header)).Part(hole, 100, false).Send();
  ASSERT_EQ(::ftruncate(driver_->memory().fd(), static_cast<off_t>(hole - FakeMemory::kBase)), 0);
  driver_->Kick(1);
  EXPECT_EQ(driver_->broken(), "the guest broke its memory");
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
