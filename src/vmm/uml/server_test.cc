#include "src/vmm/uml/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "src/base/sys.h"
#include "src/virtio/testing/fake_driver.h"

namespace msb::vmm::uml {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using virtio::testing::BytesOf;
using virtio::testing::ByteVector;

constexpr uint64_t kMemoryBytes = 1 << 20;
constexpr uint64_t kGuestBase = 0x4000;
constexpr uint16_t kQueueSize = 16;

class Events : public BackendEvents {
 public:
  void GuestBroken(const std::string& reason) override { broken = reason; }
  std::string broken;
};

// Gives every request back and says what happened to it.
class EchoDevice : public virtio::Device {
 public:
  virtio::DeviceId id() const override { return virtio::DeviceId::kRng; }
  uint64_t features() const override {
    return virtio::kFeatureVersion1 | virtio::kFeatureEventIndex | 1;
  }
  std::span<const uint16_t> max_queue_sizes() const override { return kSizes; }
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override {
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(offset + i);
  }
  void WriteConfig(uint32_t offset, std::span<const std::byte> in) override {
    log.push_back("config " + std::to_string(offset) + "+" + std::to_string(in.size()));
  }
  void Activate(const virtio::Activation& activation) override {
    active = activation;
    log.push_back("activate");
  }
  void Kick(size_t queue) override {
    log.push_back("kick " + std::to_string(queue));
    virtio::Chain chain;
    while (active.queues[queue].PopChain(chain) == virtio::Queue::Pop::kChain) {
      active.queues[queue].Push(chain, 0);
    }
    if (active.queues[queue].ShouldInterrupt()) active.transport->Interrupt(queue);
    if (active.queues[queue].broken()) {
      active.transport->Broken(active.queues[queue].broken_reason());
    }
  }
  void Reset() override { log.push_back("reset"); }

  static constexpr std::array<uint16_t, 2> kSizes = {256, 256};
  virtio::Activation active;
  std::vector<std::string> log;
};

base::UniqueFd MemoryFile(uint64_t bytes) {
  base::UniqueFd file = base::CreateMemFd("guest").value();
  CHECK(::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0);
  return file;
}

// A front end as User-Mode Linux is one.
class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    // An address of the kernel's choosing, in no file system.
    CHECK(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) == 0);
    CHECK(::listen(listener.get(), 4) == 0);
    socklen_t length = sizeof address_;
    CHECK(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address_), &length) == 0);
    address_length_ = length;
    server_ =
        Server::Create(*loop_, std::move(listener), "echo", device_, memory_, events_).value();
    socket_ = Connect();
  }

  base::UniqueFd Connect() {
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address_), address_length_) < 0) return {};
    Run();
    return fd;
  }
  void Run() {
    while (loop_->RunOnce(0).value()) {
    }
  }
  void SendBytes(std::span<const std::byte> bytes, std::span<const int> fds = {}) {
    ASSERT_TRUE(base::SendWithFds(socket_.get(), bytes, fds));
    Run();
  }
  void Send(Request request, std::span<const std::byte> payload = {}, std::vector<int> fds = {}) {
    ByteVector packet = BytesOf(MessageHeader{static_cast<uint32_t>(request), kVersion,
                                              static_cast<uint32_t>(payload.size())});
    packet.insert(packet.end(), payload.begin(), payload.end());
    SendBytes(packet, fds);
  }
  template <typename T>
  void SendStruct(Request request, const T& payload, std::vector<int> fds = {}) {
    Send(request, BytesOf(payload), std::move(fds));
  }
  // The reply's payload.
  ByteVector Reply(Request request) {
    ByteVector packet(sizeof(MessageHeader) + kMaxPayload);
    const size_t size = base::Read(socket_.get(), packet).value();
    MessageHeader header;
    CHECK(size >= sizeof header);
    std::memcpy(&header, packet.data(), sizeof header);
    EXPECT_EQ(header.request, static_cast<uint32_t>(request));
    EXPECT_EQ(header.flags, kVersion | kFlagReply);
    EXPECT_EQ(header.size, size - sizeof header);
    return {packet.begin() + sizeof header, packet.begin() + static_cast<ptrdiff_t>(size)};
  }
  uint64_t ReplyNumber(Request request) {
    const ByteVector payload = Reply(request);
    uint64_t number = 0;
    CHECK(payload.size() == sizeof number);
    std::memcpy(&number, payload.data(), sizeof number);
    return number;
  }

  void Negotiate() { SendStruct(Request::kSetFeatures, device_.features() | (1ull << 30)); }
  void SendMemory() { SendStruct(Request::kSetMemTable, Table(), {file_.get()}); }
  static MemoryTable Table() {
    return {1, 0, {kGuestBase, kMemoryBytes - kGuestBase, 0, kGuestBase}};
  }
  void SetUpRing(uint32_t index) {
    SendStruct(Request::kSetVringCall, uint64_t{index}, {call_.second.get()});
    SendStruct(Request::kSetVringNum, VringState{index, kQueueSize});
    SendStruct(Request::kSetVringBase, VringState{index, 0});
    const uint64_t at = kGuestBase + 0x1000 * index;
    SendStruct(Request::kSetVringAddr, VringAddress{index, 0, at, at + 0x800, at + 0x400, 0});
  }
  void StartRing(uint32_t index) {
    SendStruct(Request::kSetVringKick, uint64_t{index}, {kick_.get()});
    SendStruct(Request::kSetVringEnable, VringState{index, 1});
  }
  void StartDevice() {
    Negotiate();
    SendMemory();
    SetUpRing(0);
    StartRing(0);
  }
  void StoreGuest(uint64_t address, uint16_t value) {
    CHECK(base::PwriteFull(file_.get(), BytesOf(value), address).has_value());
  }
  // A request of one readable byte.
  void AddRequest(uint16_t index) {
    const virtio::testing::FakeDescriptor descriptor = {kGuestBase, 1, 0, 0};
    CHECK(base::PwriteFull(file_.get(), BytesOf(descriptor), kGuestBase).has_value());
    StoreGuest(kGuestBase + 0x400 + 4 + 2ull * (index % kQueueSize), 0);
    StoreGuest(kGuestBase + 0x400 + 2, static_cast<uint16_t>(index + 1));
  }
  void Kick() {
    const uint64_t one = 1;
    CHECK(::write(kick_.get(), &one, sizeof one) == sizeof one);
    Run();
  }
  size_t Signals() {
    std::array<uint64_t, 64> words;
    const ssize_t got = ::recv(call_.first.get(), words.data(), sizeof words, MSG_DONTWAIT);
    return got < 0 ? 0 : static_cast<size_t>(got) / sizeof(uint64_t);
  }
  bool Disconnected() {
    Run();
    char byte;
    return ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }

  std::unique_ptr<base::EventLoop> loop_ = base::EventLoop::Create().value();
  Events events_;
  EchoDevice device_;
  GuestFile memory_{kMemoryBytes};
  sockaddr_un address_ = {};
  socklen_t address_length_ = 0;
  std::unique_ptr<Server> server_;
  base::UniqueFd socket_;
  base::UniqueFd file_ = MemoryFile(kMemoryBytes);
  base::UniqueFd kick_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  base::Pair call_ = base::MakeSocketPair(base::SocketType::kStream).value();
};

// --- what UML says, in its order -----------------------------------------------------------------

TEST_F(ServerTest, AFrontEndStartsTheDevice) {
  Send(Request::kSetOwner);
  Send(Request::kGetFeatures);
  EXPECT_EQ(ReplyNumber(Request::kGetFeatures), device_.features() | kFeatureProtocolFeatures);
  Send(Request::kGetProtocolFeatures);
  EXPECT_EQ(ReplyNumber(Request::kGetProtocolFeatures), kProtocolConfig);
  SendStruct(Request::kSetProtocolFeatures, kProtocolConfig);
  Negotiate();
  SendMemory();
  SetUpRing(0);
  SetUpRing(1);
  EXPECT_THAT(device_.log, IsEmpty());
  StartRing(0);
  StartRing(1);
  EXPECT_THAT(device_.log, ElementsAre("activate", "kick 0", "kick 1"));
  EXPECT_EQ(device_.active.features, device_.features());
  EXPECT_THAT(events_.broken, IsEmpty());
}

TEST_F(ServerTest, EveryKickReachesTheDeviceAndIsAnsweredByASignal) {
  StartDevice();
  for (uint16_t i = 0; i < 3; ++i) {
    AddRequest(i);
    StoreGuest(kGuestBase + 0x400 + 4 + 2 * kQueueSize, i);  // the used event
    Kick();
    EXPECT_EQ(Signals(), 1u) << i;
  }
  EXPECT_THAT(device_.log, ElementsAre("activate", "kick 0", "kick 0", "kick 0", "kick 0"));
}

TEST_F(ServerTest, ConfigurationIsReadAndWritten) {
  ByteVector request = BytesOf(ConfigHeader{8, 4, 0});
  request.resize(request.size() + 4);
  Send(Request::kGetConfig, request);
  const ByteVector reply = Reply(Request::kGetConfig);
  ASSERT_EQ(reply.size(), sizeof(ConfigHeader) + 4);
  EXPECT_EQ(reply[sizeof(ConfigHeader)], std::byte{8});
  EXPECT_EQ(reply.back(), std::byte{11});
  Send(Request::kSetConfig, request);
  EXPECT_THAT(device_.log, ElementsAre("config 8+4"));
}

TEST_F(ServerTest, AMessageMayArriveInPieces) {
  ByteVector packet = BytesOf(MessageHeader{static_cast<uint32_t>(Request::kGetFeatures), 1, 0});
  SendBytes(std::span(packet).first(5));
  SendBytes(std::span(packet).subspan(5));
  EXPECT_NE(ReplyNumber(Request::kGetFeatures), 0u);
}

TEST_F(ServerTest, AFrontEndThatLeavesResetsTheDevice) {
  StartDevice();
  socket_.Reset();
  Run();
  EXPECT_EQ(device_.log.back(), "reset");
  EXPECT_THAT(events_.broken, IsEmpty());
}

TEST_F(ServerTest, OnlyOneFrontEndIsAcceptedEver) {
  EXPECT_FALSE(Connect().valid());
  socket_.Reset();
  Run();
  EXPECT_FALSE(Connect().valid());
}

TEST_F(ServerTest, ADriverThatLetsGoMayComeBack) {
  StartDevice();
  SendStruct(Request::kSetVringEnable, VringState{0, 0});
  EXPECT_EQ(device_.log.back(), "reset");
  StartDevice();
  EXPECT_EQ(device_.log.back(), "kick 0");
  EXPECT_THAT(events_.broken, IsEmpty());
}

// --- lost interrupts -----------------------------------------------------------------------------

TEST_F(ServerTest, AnInterruptWithoutEffectIsRepeated) {
  StartDevice();
  AddRequest(0);
  Kick();
  ASSERT_EQ(Signals(), 1u);
  while (Signals() == 0) ASSERT_TRUE(loop_->RunOnce(-1));
}

TEST_F(ServerTest, AnInterruptThatWasNoticedIsNotRepeated) {
  StartDevice();
  AddRequest(0);
  Kick();
  ASSERT_EQ(Signals(), 1u);
  StoreGuest(kGuestBase + 0x400 + 4 + 2 * kQueueSize, 1);  // the driver moves its used event
  ASSERT_TRUE(loop_->RunOnce(-1));                         // the timer looks
  EXPECT_EQ(Signals(), 0u);
  EXPECT_FALSE(loop_->RunOnce(0).value());
}

// --- hostile front ends --------------------------------------------------------------------------

TEST_F(ServerTest, WhatIsNoMessageEndsTheConnection) {
  SendBytes(ByteVector(12, std::byte{0xff}));
  EXPECT_TRUE(Disconnected());
  EXPECT_THAT(events_.broken, HasSubstr("echo: "));
}

TEST_F(ServerTest, AMessageThatIsTooLongIsRefusedBeforeItIsRead) {
  SendBytes(BytesOf(
      MessageHeader{static_cast<uint32_t>(Request::kSetConfig), kVersion, kMaxPayload + 1}));
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, AnUnknownRequestIsRefused) {
  Send(Request{77});
  EXPECT_TRUE(Disconnected());
  EXPECT_THAT(events_.broken, HasSubstr("request 77"));
}

TEST_F(ServerTest, APayloadOfTheWrongSizeIsRefused) {
  Send(Request::kSetFeatures, ByteVector(7));
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, FeaturesThatWereNotOfferedAreRefused) {
  SendStruct(Request::kSetFeatures, device_.features() | 2);
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, ALegacyDriverIsRefused) {
  SendStruct(Request::kSetFeatures, uint64_t{0});
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, FeaturesStayWhileTheDeviceWorks) {
  StartDevice();
  Negotiate();
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, ALiveQueueIsNotResized) {
  StartDevice();
  SendStruct(Request::kSetVringNum, VringState{0, 8});
  EXPECT_TRUE(Disconnected());
  EXPECT_THAT(events_.broken, HasSubstr("in use"));
}

TEST_F(ServerTest, ALiveQueueIsNotRewound) {
  StartDevice();
  SendStruct(Request::kSetVringBase, VringState{0, 0});
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, ALiveQueueIsNotMoved) {
  StartDevice();
  SendStruct(Request::kSetVringAddr, VringAddress{0, 0, kGuestBase, kGuestBase, kGuestBase, 0});
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, QueuesThatDoNotExistAreRefused) {
  SendStruct(Request::kSetVringEnable, VringState{2, 1});
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, AQueueOutsideMemoryIsRefused) {
  Negotiate();
  SendMemory();
  SendStruct(Request::kSetVringNum, VringState{0, kQueueSize});
  SendStruct(Request::kSetVringAddr, VringAddress{0, 0, 0, 0x800, 0x400, 0});
  StartRing(0);
  EXPECT_TRUE(Disconnected());
  EXPECT_THAT(events_.broken, HasSubstr("outside guest memory"));
}

TEST_F(ServerTest, AQueueBeforeMemoryIsRefused) {
  Negotiate();
  SetUpRing(0);
  StartRing(0);
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, AQueueThatIsTooLargeIsRefused) {
  Negotiate();
  SendMemory();
  SetUpRing(0);
  SendStruct(Request::kSetVringNum, VringState{0, 512});
  StartRing(0);
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, TheDeviceReportsABrokenQueue) {
  StartDevice();
  StoreGuest(kGuestBase + 0x400 + 2, 1000);
  Kick();
  EXPECT_THAT(events_.broken, HasSubstr("the available index leapt"));
}

TEST_F(ServerTest, MemoryMustBeOneRegionOfATmpfsFileOfTheConfiguredSize) {
  const auto refused = [this](const MemoryTable& table, std::vector<int> fds) {
    // A server of its own: each refusal ends the connection.
    Events events;
    GuestFile memory(kMemoryBytes);
    const auto backend = Backend::Create(*loop_, device_, memory, events).value();
    Message message;
    message.header = {static_cast<uint32_t>(Request::kSetMemTable), kVersion, sizeof table};
    std::memcpy(message.bytes.data(), &table, sizeof table);
    for (const int fd : fds) message.fds.emplace_back(::dup(fd));
    return !backend->Handle(std::move(message)).has_value();
  };
  const int good = file_.get();
  EXPECT_FALSE(refused(Table(), {good}));
  EXPECT_TRUE(refused(Table(), {}));
  EXPECT_TRUE(refused(Table(), {good, good}));
  MemoryTable table = Table();
  table.count = 2;
  EXPECT_TRUE(refused(table, {good}));
  const auto with = [](uint64_t address, uint64_t size, uint64_t offset) {
    return MemoryTable{1, 0, {address, size, 0, offset}};
  };
  EXPECT_TRUE(refused(with(kGuestBase, kMemoryBytes, kGuestBase), {good}));
  EXPECT_TRUE(refused(with(kGuestBase, UINT64_MAX, kGuestBase), {good}));
  EXPECT_TRUE(refused(with(kGuestBase, 0x1000, UINT64_MAX - 0xfff), {good}));
  EXPECT_TRUE(refused(with(UINT64_MAX - 0xfff, 0x1000, 0), {good}));
  EXPECT_TRUE(refused(with(kGuestBase, 0, 0), {good}));
  EXPECT_TRUE(refused(with(kGuestBase + 1, 0x1000, 0), {good}));
  const base::UniqueFd large = MemoryFile(kMemoryBytes * 2);
  EXPECT_TRUE(refused(Table(), {large.get()}));
  const base::UniqueFd null = base::OpenFile("/dev/null", O_RDWR).value();
  EXPECT_TRUE(refused(Table(), {null.get()}));
  EXPECT_TRUE(refused(Table(), {kick_.get()}));
  const base::UniqueFd proc = base::OpenFile("/proc/self/maps", O_RDONLY).value();
  EXPECT_TRUE(refused(Table(), {proc.get()}));
}

TEST_F(ServerTest, MemoryIsSaidOnceAndOnlyTheSameAgain) {
  SendMemory();
  SendMemory();
  EXPECT_THAT(events_.broken, IsEmpty());
  const base::UniqueFd other = MemoryFile(kMemoryBytes);
  SendStruct(Request::kSetMemTable, Table(), {other.get()});
  EXPECT_TRUE(Disconnected());
  EXPECT_THAT(events_.broken, HasSubstr("has changed"));
}

TEST_F(ServerTest, TheInterruptDescriptorMustBeASocket) {
  SendStruct(Request::kSetVringCall, uint64_t{0}, {kick_.get()});
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, AKickDescriptorThatCannotBeWatchedIsRefused) {
  SendStruct(Request::kSetVringKick, uint64_t{0}, {file_.get()});
  EXPECT_TRUE(Disconnected());
}

TEST_F(ServerTest, AFullInterruptSocketDoesNotHoldTheDeviceUp) {
  StartDevice();
  for (int i = 0; i < 100'000; ++i) device_.active.transport->Interrupt(0);
  EXPECT_GT(Signals(), 0u);
}

TEST_F(ServerTest, SurplusDescriptorsAreClosed) {
  base::Pair pair = base::MakePipe(true).value();
  Send(Request::kSetOwner, {}, std::vector<int>(20, pair.second.get()));
  pair.second.Reset();
  char byte;
  EXPECT_EQ(::read(pair.first.get(), &byte, 1), 0);  // end-of-file: no copy is left
  EXPECT_THAT(events_.broken, IsEmpty());
}

TEST_F(ServerTest, AFrontEndThatAsksWithoutReadingIsLetGo) {
  const int small = 4096;
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  const ByteVector packet =
      BytesOf(MessageHeader{static_cast<uint32_t>(Request::kGetFeatures), kVersion, 0});
  for (int i = 0; i < 100'000 && events_.broken.empty(); ++i) {
    if (!base::SendWithFds(socket_.get(), packet, {})) break;
    Run();
  }
  EXPECT_THAT(events_.broken, HasSubstr("not read"));
}

}  // namespace
}  // namespace msb::vmm::uml
