// The fixture of the vsock tests: a guest that speaks packets, a host that speaks sockets, and the
// device between them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "src/base/sys.h"
#include "src/virtio/testing/fake_driver.h"
#include "src/virtio/vsock/vsock.h"

namespace msb::virtio::vsock {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using virtio::testing::BytesOf;
using virtio::testing::ByteVector;
using virtio::testing::FakeDriver;
using virtio::testing::FakeMemory;
using virtio::testing::ToBytes;
using virtio::testing::ToString;

inline constexpr uint32_t kGuestCid = 7;
inline constexpr uint32_t kAgentPort = 1024;
inline constexpr uint32_t kGuestBuffer = 256 * 1024;

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

}  // namespace msb::virtio::vsock
