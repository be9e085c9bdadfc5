// Connection: one stream between a host socket and a port of the guest: its state, its credit both
// ways and what is owed to the guest. It knows nothing of queues; the VsockDevice moves its
// packets.
//
// Owned by a VsockDevice, on the event loop's thread. Everything in a packet is the guest's word:
// what breaks the protocol resets this one stream. Flow control is virtio 1.2, section 5.10.6.3:
// the guest may have kBufferBytes on their way to a host socket that does not take them, so a slow
// reader slows the guest and memory does not grow.
#pragma once

#include <cstdint>
#include <optional>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/virtio/guest_memory.h"
#include "src/virtio/vsock/backlog.h"
#include "src/virtio/vsock/wire.h"

namespace msb::virtio::vsock {

class Connection {
 public:
  static constexpr uint32_t kBufferBytes = 64 * 1024;

  enum class State {
    kConnecting,  // the guest was asked
    kOpen,
    kResetting,  // nothing but a reset is owed
    kDraining,   // the guest is gone; the host still takes what it sent
    kDead,       // to be removed
  };
  struct Ports {
    uint32_t host;
    uint32_t guest;
  };

  // `id` is the name by which the stream was asked for.
  Connection(Ports ports, uint32_t id, base::UniqueFd host);

  Ports ports() const { return ports_; }
  uint32_t id() const { return id_; }
  State state() const { return state_; }
  int host_fd() const { return host_.get(); }
  bool was_open() const { return was_open_; }
  // Both directions are ended and the guest was told: it has little time to answer.
  bool closing() const { return told_shutdown_ == (kShutdownReceive | kShutdownSend); }

  // Epoll events of the host socket go to OnHostEvents as long as the connection lives. Room to
  // write is watched only while the guest's bytes wait for it: else each byte the host takes would
  // wake us.
  static constexpr uint32_t kHostEvents = EPOLLIN | EPOLLRDHUP | EPOLLET;
  void SetWatch(base::Watch watch) { watch_ = std::move(watch); }

  // --- from the guest: an Error means that its memory is broken ---
  base::Status OnPacket(const GuestMemory& memory, const Header& header, const GuestSlice& payload);

  // --- from the host ---
  void OnHostEvents(uint32_t events);

  // --- to the guest ---
  // Whether TakeControl or data would have something to send now.
  bool HasWork() const { return owed_ != 0 || DataCredit() > 0; }
  // The next packet without payload that is owed.
  std::optional<Header> TakeControl();
  // How many bytes may be read from the host socket for the guest now; 0: none to be had or no
  // credit.
  uint32_t DataCredit() const;
  // After such a read: `count` bytes are sent. Header of each packet they make.
  Header DataHeader(uint32_t length);
  void OnHostBusy() { host_readable_ = false; }
  void OnHostEnd();    // end-of-file
  void OnHostError();  // the socket failed

  // Gives up: the guest is sent a reset.
  void Abort();

 private:
  enum Owed : uint8_t {
    kOweRequest = 1,
    kOweCreditUpdate = 2,
    kOweCreditRequest = 4,
    kOweShutdown = 8,
    kOweReset = 16,
  };

  base::Status OnOpenPacket(const GuestMemory& memory, const Header& header,
                            const GuestSlice& payload);
  base::Status OnData(const GuestMemory& memory, const Header& header, const GuestSlice& payload);
  base::Result<uint32_t> SendNow(const GuestMemory& memory, const GuestSlice& data);
  void DrainBacklog();
  void SetWritable(bool writable);
  void HostGone();
  void Settle();
  void OweCreditIfDue();
  uint32_t PeerCredit() const;
  Header MakeHeader(Op op, uint32_t length, uint32_t flags);

  const Ports ports_;
  const uint32_t id_;
  State state_ = State::kConnecting;
  bool was_open_ = false;
  uint8_t owed_ = kOweRequest;

  base::UniqueFd host_;
  base::Watch watch_;  // after host_: removed before the descriptor is closed
  bool host_readable_ = false;
  bool host_writable_ = true;
  bool host_ended_ = false;  // nothing more to read
  bool host_gone_ = false;   // nothing can be written any more

  bool guest_ended_ = false;  // sends no more
  bool guest_deaf_ = false;   // receives no more
  bool told_host_end_ = false;
  bool told_host_deaf_ = false;

  // Towards the guest (section 5.10.6.3): what it can hold, has taken, and was sent.
  uint32_t peer_buf_alloc_ = 0;
  uint32_t peer_fwd_cnt_ = 0;
  uint32_t sent_ = 0;
  bool asked_for_credit_ = false;
  // From the guest: what the host socket took, and of that what the guest knows.
  uint32_t forwarded_ = 0;
  uint32_t forwarded_told_ = 0;
  uint32_t told_shutdown_ = 0;
  Backlog backlog_{kBufferBytes};
};

}  // namespace msb::virtio::vsock
