// Backend: the vhost-user back end of one device: what the front end's messages mean, in which
// order they may come, and the device's Transport.
//
// Owned by a Server, on the event loop's thread. The front end is a hostile User-Mode Linux. An
// Error from Handle means that it broke the protocol; the connection cannot be gone on with.
// Offered are only the features UML needs: no acknowledgements (they cost milliseconds at boot), no
// back channel.
//
// A lost interrupt (UML is told by SIGIO, which a detaching debugger can swallow) would hang the
// guest: an interrupt without visible effect is repeated, at first after 100 ms, then ever more
// rarely; the timer runs only while one is outstanding.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/virtio/device.h"
#include "src/virtio/queue.h"
#include "src/vmm/uml/guest_file.h"
#include "src/vmm/uml/message.h"
#include "src/vmm/uml/ring.h"

namespace msb::vmm::uml {

// What the machine is told.
class BackendEvents {
 public:
  virtual ~BackendEvents() = default;
  // The guest broke a device or the protocol: the machine ends.
  virtual void GuestBroken(const std::string& reason) = 0;
};

class Backend final : public virtio::Transport {
 public:
  // All must outlive the backend.
  static base::Result<std::unique_ptr<Backend>> Create(base::EventLoop& loop,
                                                       virtio::Device& device, GuestFile& memory,
                                                       BackendEvents& events);

  // Consumes one message; the reply, if it has one.
  base::Result<std::optional<Message>> Handle(Message message);
  // The front end is gone.
  void Disconnected() { StopAll(); }

  void Interrupt(size_t queue) override;
  void Broken(const std::string& reason) override;

 private:
  struct RingState {
    Ring ring;
    virtio::Queue::Layout layout;
    bool enabled = false;
    bool outstanding = false;  // interrupted, and no effect seen
    bool fresh = false;        // interrupted since the timer was last armed
  };

  Backend(base::EventLoop& loop, virtio::Device& device, GuestFile& memory, BackendEvents& events);
  uint64_t OfferedFeatures() const;
  base::Status SetFeatures(const Message& message);
  base::Status SetProtocolFeatures(const Message& message);
  base::Status SetMemoryTable(const Message& message);
  base::Status SetVring(const Message& message);
  base::Status SetVringAddress(const Message& message);
  base::Status SetVringDescriptor(Message& message);
  base::Status SetVringEnable(const Message& message);
  base::Result<Message> GetConfig(const Message& message) const;
  base::Status SetConfig(const Message& message);
  base::Result<size_t> RingIndex(uint64_t index) const;
  base::Result<size_t> StoppedRing(uint64_t index) const;
  base::Status StartIfReady(size_t index);
  void StopAll();
  void CheckInterrupts();

  base::EventLoop& loop_;
  virtio::Device& device_;
  GuestFile& guest_file_;
  BackendEvents& events_;
  const virtio::GuestMemory* memory_ = nullptr;
  uint64_t features_ = 0;
  bool active_ = false;
  std::vector<virtio::Queue> queues_;
  std::vector<RingState> rings_;
  base::Timer repeat_;
  unsigned repeats_ = 0;
};

}  // namespace msb::vmm::uml
