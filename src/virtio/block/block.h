// BlockDevice: a virtio block device (virtio 1.2, section 5.2) over a Disk.
//
// Owned by the machine, on the event loop's thread; fdatasync runs on a thread of its own
// (Flusher), so that a slow host disk does not hold up the other devices.
//
// A host without room never becomes an I/O error in the guest: the request that met it is kept, the
// queue stops, and the same request is tried again every second and on Resume. A flush that fails
// cannot be repeated (the kernel forgets what it could not write), so it ends the machine.
//
// The block size is 512 with 4 KiB physical blocks: EROFS and ext4 use 4 KiB blocks, and programs
// that do direct I/O in units of 512 work as on an ordinary disk.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/event_loop.h"
#include "src/base/log.h"
#include "src/virtio/block/disk.h"
#include "src/virtio/block/flusher.h"
#include "src/virtio/block/wire.h"
#include "src/virtio/device.h"

namespace msb::virtio::block {

// What the machine is told about a disk.
class BlockEvents {
 public:
  virtual ~BlockEvents() = default;
  virtual void DiskFull(const std::string& message) = 0;
  virtual void DiskResumed() = 0;
  virtual void DiskFailed(const std::string& message) = 0;  // cannot go on
};

struct BlockOptions {
  std::string serial;                           // get-id, at most 20 bytes
  bool durable = true;                          // false: flush does nothing
  std::chrono::milliseconds retry_after{1000};  // what a full host disk stopped
};

class BlockDevice final : public Device {
 public:
  // `loop` and `events` must outlive the device.
  static base::Result<std::unique_ptr<BlockDevice>> Create(base::EventLoop& loop, Disk disk,
                                                           BlockOptions options,
                                                           BlockEvents& events);
  ~BlockDevice() override = default;

  DeviceId id() const override { return DeviceId::kBlock; }
  uint64_t features() const override;
  std::span<const uint16_t> max_queue_sizes() const override;
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  void WriteConfig(uint32_t, std::span<const std::byte>) override {}
  void Activate(const Activation& activation) override { active_ = activation; }
  void Kick(size_t queue) override;
  void Reset() override;

  // Tries again what a full host disk stopped. Nothing otherwise.
  void Resume();

 private:
  enum class Outcome { kAnswered, kDeferred, kStopped };

  BlockDevice(base::EventLoop& loop, Disk disk, BlockOptions options, BlockEvents& events);
  void Work();
  void ContinueLater();
  void InterruptIfWanted();
  Outcome Handle(Chain& chain);
  Outcome HandleKnown(Chain& chain, const RequestHeader& header);
  Outcome Transfer(Chain& chain, const RequestHeader& header, bool write);
  Outcome HandleRanges(Chain& chain, RequestType type);
  std::optional<RequestStatus> CheckRanges(std::span<const RangeSegment> segments,
                                           RequestType type) const;
  Outcome Flush(Chain& chain);
  void StartFlush();
  void Flushed(base::Status status);
  Outcome Answer(const Chain& chain, RequestStatus status);
  // Turns the failure of a host operation into the guest's answer, a stop or the end.
  Outcome Failed(Chain& chain, const base::Error& error);
  bool WithinDisk(uint64_t sector, uint64_t bytes) const;

  base::EventLoop& loop_;
  const Disk disk_;
  const BlockOptions options_;
  BlockEvents& events_;
  Config config_ = {};
  base::Timer retry_;
  Activation active_;
  Chain scratch_;
  std::optional<Chain> stopped_;  // the request that met a full disk
  std::vector<Chain> flushing_;   // answered when the flush under way ends
  std::vector<Chain> flush_next_;
  uint64_t turn_bytes_ = 0;
  base::LogRate log_rate_;
  bool continuing_ = false;
  bool broken_ = false;
  std::unique_ptr<Flusher> flusher_;  // last: its thread ends first
};

}  // namespace msb::virtio::block
