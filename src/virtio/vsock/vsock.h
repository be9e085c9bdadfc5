// VsockDevice: a virtio socket device (virtio 1.2, section 5.10) whose streams are host sockets.
//
// Owned by the machine, on the event loop's thread. Streams are opened by the host only: each joins
// a host socket (one end of a socket pair, the other is the user's) to a port of the guest. The one
// thing the guest may connect to is the announcement port: a connection there says that the agent
// listens, and is refused with a reset. Streams asked for earlier wait until then.
//
// All packets of one turn of the event loop are moved together, with at most one interrupt a queue.
// What the guest can make us hold is bounded: connections, resets, bytes a connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "src/base/event_loop.h"
#include "src/virtio/device.h"
#include "src/virtio/vsock/connection.h"
#include "src/virtio/vsock/receive_buffers.h"
#include "src/virtio/vsock/wire.h"

namespace msb::virtio::vsock {

class VsockEvents {
 public:
  virtual ~VsockEvents() = default;
  virtual void AgentListening() = 0;  // once an activation
  // The stream `id` was not established; its socket is closed.
  virtual void StreamFailed(uint32_t id, const std::string& reason) = 0;
};

struct VsockOptions {
  uint32_t guest_cid = 3;
  uint32_t announcement_port = 1024;
  std::chrono::milliseconds connect_timeout{2000};
  std::chrono::milliseconds close_timeout{2000};
};

class VsockDevice final : public Device {
 public:
  static constexpr size_t kMaxConnections = 1000;
  static constexpr size_t kMaxResets = 256;  // owed to packets of no connection; more are dropped

  // `loop` and `events` must outlive the device.
  static base::Result<std::unique_ptr<VsockDevice>> Create(base::EventLoop& loop,
                                                           VsockOptions options,
                                                           VsockEvents& events);

  // Joins `host`, a stream socket, to a port of the guest. A failure is an event, now or later.
  void OpenStream(uint32_t id, uint32_t port, base::UniqueFd host);
  size_t connections() const { return connections_.size(); }

  DeviceId id() const override { return DeviceId::kVsock; }
  uint64_t features() const override {
    return kFeatureVersion1 | kFeatureIndirect | kFeatureEventIndex;
  }
  std::span<const uint16_t> max_queue_sizes() const override;
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  void WriteConfig(uint32_t, std::span<const std::byte>) override {}
  void Activate(const Activation& activation) override { active_ = activation; }
  void Kick(size_t queue) override;
  void Reset() override;

 private:
  using Key = uint64_t;  // host port, guest port
  struct HeldStream {
    uint32_t id;
    uint32_t port;
    base::UniqueFd host;
  };
  struct Deadline {
    int64_t at_ns;
    Key key;
    bool connect;  // else: close
  };

  VsockDevice(base::EventLoop& loop, VsockOptions options, VsockEvents& events)
      : loop_(loop), options_(options), events_(events) {}

  static Key KeyOf(Connection::Ports ports) { return uint64_t{ports.host} << 32 | ports.guest; }
  Queue& rx() { return active_.queues[0]; }
  Queue& tx() { return active_.queues[1]; }
  bool working() const { return active_.transport != nullptr && !broken_; }

  void WorkLater();
  void Work();
  void Break(const std::string& reason);

  // From the guest.
  void DrainTx();
  void OnGuestPacket(const Chain& chain);
  void OnStrayPacket(const Header& header);
  void AgentAnnounced();

  // To the guest.
  void SendToGuest();
  bool HaveReceiveBuffer();
  bool SendReset();
  void SendFrom(Connection& connection);
  void SendData(Connection& connection, uint32_t credit);
  void Complete(Header header);

  // The table.
  void Connect(HeldStream stream);
  void OnHostEvents(Key key, uint32_t events);
  void MarkReady(Key key);
  void AfterChange(Connection& connection);  // may destroy it
  void Remove(Key key);
  void SetDeadline(Key key, bool connect);
  void ArmDeadlines();
  void OnDeadline();

  base::EventLoop& loop_;
  const VsockOptions options_;
  VsockEvents& events_;
  Activation active_;
  bool broken_ = false;
  bool agent_listening_ = false;
  bool work_scheduled_ = false;
  bool tx_pending_ = false;
  Chain scratch_;
  ReceiveBuffers receive_buffers_;
  uint32_t next_port_ = 1u << 20;
  std::deque<HeldStream> held_;
  std::unordered_map<Key, std::unique_ptr<Connection>> connections_;
  std::deque<Key> ready_;  // have something for the guest, served in turn
  std::unordered_set<Key> in_ready_;
  std::deque<Connection::Ports> resets_;
  std::deque<Deadline> deadlines_;
  base::Timer deadline_timer_;
};

}  // namespace msb::virtio::vsock
