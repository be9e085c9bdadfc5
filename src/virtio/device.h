// Device: what a virtio device is to a transport (virtio 1.2, section 2), be it vhost-user for
// User-Mode Linux or a virtio-mmio bus for KVM. The transport owns the queues and enforces the
// order of a device's life; the device gives them meaning.
//
//   (configured) --Activate--> working --Reset--> (configured)
//
// All calls come from the event loop's thread. A device is owned by the machine and outlives its
// transport.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "src/virtio/guest_memory.h"
#include "src/virtio/queue.h"

namespace msb::virtio {

// virtio 1.2, section 5.
enum class DeviceId : uint32_t { kNet = 1, kBlock = 2, kConsole = 3, kRng = 4, kVsock = 19 };

// What a device may ask of its transport.
class Transport {
 public:
  virtual ~Transport() = default;
  // Interrupts the driver about used buffers. Never waits.
  virtual void Interrupt(size_t queue) = 0;
  // The driver broke the device: it stays stopped until it is reset. The reason is for the user.
  virtual void Broken(const std::string& reason) = 0;
};

struct Activation {
  const GuestMemory* memory = nullptr;
  std::span<Queue> queues;  // of max_queue_sizes().size(); a queue not started yet is empty
  uint64_t features = 0;    // negotiated: a subset of Device::features()
  Transport* transport = nullptr;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual DeviceId id() const = 0;
  virtual uint64_t features() const = 0;  // offered
  virtual std::span<const uint16_t> max_queue_sizes() const = 0;
  // The device's configuration space; what lies beyond its end reads as zeroes. Writes to fields
  // that are not the driver's are ignored.
  virtual void ReadConfig(uint32_t offset, std::span<std::byte> out) const = 0;
  virtual void WriteConfig(uint32_t offset, std::span<const std::byte> in) = 0;

  // Everything in `activation` stays valid until Reset returns.
  virtual void Activate(const Activation& activation) = 0;
  // The driver added requests to a queue, or the queue has just been started.
  virtual void Kick(size_t queue) = 0;
  // Drops what is in flight; no request is given back afterwards. Idempotent.
  virtual void Reset() = 0;
};

}  // namespace msb::virtio
