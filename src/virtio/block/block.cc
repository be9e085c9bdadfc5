#include "src/virtio/block/block.h"

#include <algorithm>
#include <cstring>

namespace msb::virtio::block {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

constexpr std::array<uint16_t, 1> kQueueSizes = {256};
// What remains of a chain of queue size beside header and status.
constexpr uint32_t kSegMax = 254;
constexpr uint32_t kMaxSegments = 16;  // of a discard or write-zeroes request
// One system call's worth of work: longer ones would hold up the other devices.
constexpr uint64_t kMaxTransferBytes = 64ull << 20;
constexpr uint32_t kMaxDiscardSectors = (1u << 30) / kSectorBytes;
constexpr uint64_t kMaxTurnBytes = 4ull << 20;  // then the other devices have their turn
constexpr uint8_t kPhysicalBlockExponent = 3;   // 4 KiB

}  // namespace

Result<std::unique_ptr<BlockDevice>> BlockDevice::Create(base::EventLoop& loop, Disk disk,
                                                         BlockOptions options,
                                                         BlockEvents& events) {
  std::unique_ptr<BlockDevice> device(
      new BlockDevice(loop, std::move(disk), std::move(options), events));
  BlockDevice* self = device.get();
  if (!self->disk_.read_only()) {
    device->retry_ = TRY(loop.AddTimer([self] { self->Resume(); }));
    if (self->options_.durable) {
      device->flusher_ = TRY(Flusher::Create(loop, self->disk_.file_fd(), [self](Status status) {
        self->Flushed(std::move(status));
      }));
    }
  }
  return device;
}

BlockDevice::BlockDevice(base::EventLoop& loop, Disk disk, BlockOptions options,
                         BlockEvents& events)
    : loop_(loop), disk_(std::move(disk)), options_(std::move(options)), events_(events) {
  config_.capacity = disk_.size() / kSectorBytes;
  config_.seg_max = kSegMax;
  config_.physical_block_exp = kPhysicalBlockExponent;
  config_.min_io_size = 1 << kPhysicalBlockExponent;
  if (disk_.can_punch()) {
    config_.max_discard_sectors = config_.max_write_zeroes_sectors = kMaxDiscardSectors;
    config_.max_discard_seg = config_.max_write_zeroes_seg = kMaxSegments;
    config_.discard_sector_alignment = 1 << kPhysicalBlockExponent;
    config_.write_zeroes_may_unmap = 1;
  }
}

uint64_t BlockDevice::features() const {
  uint64_t features =
      kFeatureVersion1 | kFeatureIndirect | kFeatureEventIndex | kFeatureSegMax | kFeatureTopology;
  if (disk_.read_only()) return features | kFeatureReadOnly;
  // Without a flush to offer the guest takes the disk for write-through and sends none.
  if (options_.durable) features |= kFeatureFlush;
  if (disk_.can_punch()) features |= kFeatureDiscard | kFeatureWriteZeroes;
  return features;
}

std::span<const uint16_t> BlockDevice::max_queue_sizes() const { return kQueueSizes; }

void BlockDevice::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  std::ranges::fill(out, std::byte{0});
  if (offset >= sizeof config_) return;
  const auto config = std::as_bytes(std::span(&config_, 1)).subspan(offset);
  std::memcpy(out.data(), config.data(), std::min(config.size(), out.size()));
}

void BlockDevice::Reset() {
  active_ = {};
  stopped_.reset();
  retry_.Disarm();
  flushing_.clear();  // a flush under way ends without anybody waiting for it
  flush_next_.clear();
  broken_ = false;
}

void BlockDevice::Kick(size_t queue) {
  if (queue == 0) Work();
}

void BlockDevice::Work() {
  if (active_.transport == nullptr || broken_ || stopped_) return;
  turn_bytes_ = 0;
  const Drained drained = Drain(active_.queues[0], scratch_, [this](Chain& chain) {
    return Handle(chain) != Outcome::kStopped && turn_bytes_ < kMaxTurnBytes;
  });
  if (broken_) return;
  InterruptIfWanted();
  if (drained == Drained::kBroken) {
    broken_ = true;
    active_.transport->Broken(active_.queues[0].broken_reason());
  } else if (drained == Drained::kMore || (drained == Drained::kStopped && !stopped_)) {
    ContinueLater();
  }
}

void BlockDevice::ContinueLater() {
  if (std::exchange(continuing_, true)) return;
  loop_.Defer([this] {
    continuing_ = false;
    Work();
  });
}

void BlockDevice::InterruptIfWanted() {
  if (active_.queues[0].ShouldInterrupt()) active_.transport->Interrupt(0);
}

BlockDevice::Outcome BlockDevice::Answer(const Chain& chain, RequestStatus status) {
  const GuestSlice writable = chain.writable();
  active_.memory->Scatter(writable.Sub(writable.length - 1), std::as_bytes(std::span(&status, 1)));
  active_.queues[0].Push(chain, static_cast<uint32_t>(writable.length));
  return Outcome::kAnswered;
}

BlockDevice::Outcome BlockDevice::Handle(Chain& chain) {
  RequestHeader header;
  const auto bytes = std::as_writable_bytes(std::span(&header, 1));
  if (chain.writable().length == 0 ||
      active_.memory->Gather(chain.readable(), bytes) != sizeof header) {
    active_.queues[0].Push(chain, 0);  // there is not even room for an answer
    return Outcome::kAnswered;
  }
  return HandleKnown(chain, header);
}

BlockDevice::Outcome BlockDevice::HandleKnown(Chain& chain, const RequestHeader& header) {
  const RequestType type{header.type};
  switch (type) {
    case RequestType::kIn:
      return Transfer(chain, header, /*write=*/false);
    case RequestType::kOut:
      return Transfer(chain, header, /*write=*/true);
    case RequestType::kFlush:
      return Flush(chain);
    case RequestType::kGetId: {
      std::array<std::byte, kIdBytes> id = {};
      std::memcpy(id.data(), options_.serial.data(), std::min(id.size(), options_.serial.size()));
      const GuestSlice writable = chain.writable();
      active_.memory->Scatter(writable.Sub(0, writable.length - 1), id);
      return Answer(chain, RequestStatus::kOk);
    }
    case RequestType::kDiscard:
    case RequestType::kWriteZeroes:
      return HandleRanges(chain, type);
  }
  return Answer(chain, RequestStatus::kUnsupported);
}

bool BlockDevice::WithinDisk(uint64_t sector, uint64_t bytes) const {
  const uint64_t sectors = disk_.size() / kSectorBytes;
  return sector <= sectors && bytes % kSectorBytes == 0 && bytes / kSectorBytes <= sectors - sector;
}

BlockDevice::Outcome BlockDevice::Transfer(Chain& chain, const RequestHeader& header, bool write) {
  const GuestSlice writable = chain.writable();
  const GuestSlice data =
      write ? chain.readable().Sub(sizeof header) : writable.Sub(0, writable.length - 1);
  const bool refused = write && disk_.read_only();
  if (refused || data.length > kMaxTransferBytes || !WithinDisk(header.sector, data.length)) {
    return Answer(chain, RequestStatus::kIoError);
  }
  const uint64_t offset = header.sector * kSectorBytes;
  turn_bytes_ += data.length;
  const Status status = write ? disk_.Write(*active_.memory, offset, data)
                              : disk_.Read(*active_.memory, offset, data);
  if (!status) return Failed(chain, status.error());
  return Answer(chain, RequestStatus::kOk);
}

std::optional<RequestStatus> BlockDevice::CheckRanges(std::span<const RangeSegment> segments,
                                                      RequestType type) const {
  for (const RangeSegment& segment : segments) {
    // Section 5.2.6.2: unmap belongs to write-zeroes alone, other bits are reserved.
    const uint32_t known = type == RequestType::kWriteZeroes ? kSegmentUnmap : 0;
    if ((segment.flags & ~known) != 0) return RequestStatus::kUnsupported;
    if (segment.sectors > kMaxDiscardSectors ||
        !WithinDisk(segment.sector, uint64_t{segment.sectors} * kSectorBytes)) {
      return RequestStatus::kIoError;
    }
  }
  return std::nullopt;
}

BlockDevice::Outcome BlockDevice::HandleRanges(Chain& chain, RequestType type) {
  const GuestSlice data = chain.readable().Sub(sizeof(RequestHeader));
  if (!disk_.can_punch()) return Answer(chain, RequestStatus::kUnsupported);
  std::array<RangeSegment, kMaxSegments> segments;
  if (data.length == 0 || data.length % sizeof(RangeSegment) != 0 ||
      data.length > sizeof segments) {
    return Answer(chain, RequestStatus::kIoError);
  }
  const size_t count = data.length / sizeof(RangeSegment);
  const auto used = std::span(segments).first(count);
  // Read once: what is checked is what is done.
  active_.memory->Gather(data, std::as_writable_bytes(used));
  if (const auto failure = CheckRanges(used, type)) return Answer(chain, *failure);
  for (const RangeSegment& segment : used) {
    const Status status =
        disk_.Discard(segment.sector * kSectorBytes, uint64_t{segment.sectors} * kSectorBytes);
    if (!status) return Failed(chain, status.error());
  }
  return Answer(chain, RequestStatus::kOk);
}

BlockDevice::Outcome BlockDevice::Failed(Chain& chain, const Error& error) {
  if (error.code() == ErrorCode::kNoSpace) {
    const bool first = !stopped_;
    stopped_ = chain;
    retry_.Arm(options_.retry_after);
    if (first) events_.DiskFull(error.message());
    return Outcome::kStopped;
  }
  if (error.sys_errno() == EFAULT || error.sys_errno() == 0) {
    broken_ = true;
    active_.transport->Broken("the guest broke its memory");
    return Outcome::kStopped;
  }
  if (log_rate_.Allow()) LOG(kError, "{}: {}", options_.serial, error.message());
  return Answer(chain, RequestStatus::kIoError);
}

void BlockDevice::Resume() {
  if (!stopped_ || active_.transport == nullptr) return;
  Chain chain = *stopped_;
  if (Handle(chain) == Outcome::kStopped) return;
  stopped_.reset();
  retry_.Disarm();
  events_.DiskResumed();
  Work();
}

BlockDevice::Outcome BlockDevice::Flush(Chain& chain) {
  if (flusher_ == nullptr) return Answer(chain, RequestStatus::kOk);
  flush_next_.push_back(chain);
  StartFlush();
  return Outcome::kDeferred;
}

// One fdatasync answers all flushes that came before it began; those that come later need another.
void BlockDevice::StartFlush() {
  if (flusher_->busy() || flush_next_.empty()) return;
  flushing_ = std::exchange(flush_next_, {});
  flusher_->Start();
}

void BlockDevice::Flushed(Status status) {
  if (!status) {
    broken_ = true;
    events_.DiskFailed(status.error().message());
    return;
  }
  if (active_.transport == nullptr) return;
  for (const Chain& chain : std::exchange(flushing_, {})) Answer(chain, RequestStatus::kOk);
  InterruptIfWanted();
  StartFlush();
}

}  // namespace msb::virtio::block
