#include "src/vmm/uml/backend.h"

#include <array>
#include <utility>

namespace msb::vmm::uml {
namespace {

using base::ErrorCode;
using base::Fail;
using base::Result;
using base::Status;
using std::chrono_literals::operator""ms;

constexpr auto kRepeatAfter = 100ms;
// 100 ms, 200 ms, … 3.2 s. A guest that is paused for longer finds the signal when it goes on.
constexpr unsigned kMaxRepeats = 6;

}  // namespace

Result<std::unique_ptr<Backend>> Backend::Create(base::EventLoop& loop, virtio::Device& device,
                                                 GuestFile& memory, BackendEvents& events) {
  std::unique_ptr<Backend> backend(new Backend(loop, device, memory, events));
  backend->repeat_ = TRY(loop.AddTimer([self = backend.get()] { self->CheckInterrupts(); }));
  return backend;
}

Backend::Backend(base::EventLoop& loop, virtio::Device& device, GuestFile& memory,
                 BackendEvents& events)
    : loop_(loop), device_(device), guest_file_(memory), events_(events) {
  const auto sizes = device.max_queue_sizes();
  queues_.reserve(sizes.size());
  for (const uint16_t size : sizes) queues_.emplace_back(size);
  rings_ = std::vector<RingState>(sizes.size());
}

uint64_t Backend::OfferedFeatures() const { return device_.features() | kFeatureProtocolFeatures; }

Result<std::optional<Message>> Backend::Handle(Message message) {
  const Request request = message.request();
  std::optional<Message> reply;
  switch (request) {
    case Request::kSetOwner:
      break;
    case Request::kGetFeatures:
      reply = MakeReply(request, OfferedFeatures());
      break;
    case Request::kGetProtocolFeatures:
      reply = MakeReply(request, kProtocolConfig);
      break;
    case Request::kSetFeatures:
      TRY(SetFeatures(message));
      break;
    case Request::kSetProtocolFeatures:
      TRY(SetProtocolFeatures(message));
      break;
    case Request::kSetMemTable:
      TRY(SetMemoryTable(message));
      break;
    case Request::kSetVringNum:
    case Request::kSetVringBase:
      TRY(SetVring(message));
      break;
    case Request::kSetVringAddr:
      TRY(SetVringAddress(message));
      break;
    case Request::kSetVringKick:
    case Request::kSetVringCall:
      TRY(SetVringDescriptor(message));
      break;
    case Request::kSetVringEnable:
      TRY(SetVringEnable(message));
      break;
    case Request::kGetConfig:
      reply = TRY(GetConfig(message));
      break;
    case Request::kSetConfig:
      TRY(SetConfig(message));
      break;
    default:
      return Fail(ErrorCode::kProtocol, "vhost-user request {}", message.header.request);
  }
  return reply;
}

Status Backend::SetFeatures(const Message& message) {
  const auto features = TRY(message.As<uint64_t>());
  if (active_) return Fail(ErrorCode::kProtocol, "features changed while the device works");
  // A device of ours speaks the modern layout alone.
  if ((features & ~OfferedFeatures()) != 0 || (features & virtio::kFeatureVersion1) == 0) {
    return Fail(ErrorCode::kProtocol, "features {:#x} of {:#x}", features, OfferedFeatures());
  }
  features_ = features & ~kFeatureProtocolFeatures;
  return {};
}

Status Backend::SetProtocolFeatures(const Message& message) {
  const auto features = TRY(message.As<uint64_t>());
  if ((features & ~kProtocolConfig) != 0) {
    return Fail(ErrorCode::kProtocol, "protocol features {:#x}", features);
  }
  return {};
}

Status Backend::SetMemoryTable(const Message& message) {
  const auto table = TRY(message.As<MemoryTable>());
  if (table.count != 1 || message.fds.size() != 1) {
    return Fail(ErrorCode::kProtocol, "{} memory regions with {} descriptors", table.count,
                message.fds.size());
  }
  if (active_) return Fail(ErrorCode::kProtocol, "memory changed while the device works");
  memory_ = TRY(guest_file_.Accept(message.fds.front().get(), table.region));
  return {};
}

Result<size_t> Backend::RingIndex(uint64_t index) const {
  if (index >= rings_.size()) return Fail(ErrorCode::kProtocol, "queue {}", index);
  return index;
}

// Queues that are in use stay where they are.
Result<size_t> Backend::StoppedRing(uint64_t index) const {
  const size_t ring = TRY(RingIndex(index));
  if (queues_[ring].started()) {
    return Fail(ErrorCode::kProtocol, "queue {} changed while it is in use", ring);
  }
  return ring;
}

Status Backend::SetVring(const Message& message) {
  const auto state = TRY(message.As<VringState>());
  virtio::Queue::Layout& layout = rings_[TRY(StoppedRing(state.index))].layout;
  if (message.request() == Request::kSetVringNum) {
    layout.size = state.value;
    return {};
  }
  if (state.value > UINT16_MAX) return Fail(ErrorCode::kProtocol, "queue base {}", state.value);
  layout.base = static_cast<uint16_t>(state.value);
  return {};
}

Status Backend::SetVringAddress(const Message& message) {
  const auto address = TRY(message.As<VringAddress>());
  virtio::Queue::Layout& layout = rings_[TRY(StoppedRing(address.index))].layout;
  layout.descriptors = address.descriptors;
  layout.available = address.available;
  layout.used = address.used;
  return {};
}

Status Backend::SetVringDescriptor(Message& message) {
  const auto value = TRY(message.As<uint64_t>());
  const size_t index = TRY(RingIndex(value & kVringIndexMask));
  const bool none = (value & kVringNoDescriptor) != 0;
  if (message.fds.empty() != none) {
    return Fail(ErrorCode::kProtocol, "queue {} with {} descriptors", index, message.fds.size());
  }
  base::UniqueFd fd = none ? base::UniqueFd() : std::move(message.fds.front());
  if (message.request() == Request::kSetVringCall) return rings_[index].ring.SetCall(std::move(fd));
  TRY(rings_[index].ring.SetKick(loop_, std::move(fd), [this, index] {
    if (queues_[index].started()) device_.Kick(index);
  }));
  return StartIfReady(index);
}

Status Backend::SetVringEnable(const Message& message) {
  const auto state = TRY(message.As<VringState>());
  const size_t index = TRY(RingIndex(state.index));
  rings_[index].enabled = state.value != 0;
  if (rings_[index].enabled) return StartIfReady(index);
  // A driver that takes one queue back is letting go of the device.
  StopAll();
  return {};
}

Status Backend::StartIfReady(size_t index) {
  RingState& ring = rings_[index];
  if (!ring.enabled || !ring.ring.has_kick() || queues_[index].started()) return {};
  if (memory_ == nullptr) return Fail(ErrorCode::kProtocol, "a queue before any memory");
  TRY(queues_[index].Start(*memory_, ring.layout, features_));
  if (!std::exchange(active_, true)) {
    device_.Activate({memory_, std::span(queues_), features_, this});
  }
  device_.Kick(index);
  return {};
}

void Backend::StopAll() {
  device_.Reset();
  active_ = false;
  repeat_.Disarm();
  for (virtio::Queue& queue : queues_) queue.Stop();
  for (RingState& ring : rings_) ring.enabled = ring.outstanding = ring.fresh = false;
}

Result<Message> Backend::GetConfig(const Message& message) const {
  if (message.header.size < sizeof(ConfigHeader)) {
    return Fail(ErrorCode::kProtocol, "a configuration request of {} bytes", message.header.size);
  }
  ConfigHeader config;
  std::memcpy(&config, message.bytes.data(), sizeof config);
  if (config.size != message.header.size - sizeof config || config.offset > kMaxConfigBytes ||
      config.size > kMaxConfigBytes - config.offset) {
    return Fail(ErrorCode::kProtocol, "configuration bytes {} to +{}", config.offset, config.size);
  }
  Message reply = MakeReply(message.request(), config);
  reply.header.size = message.header.size;
  device_.ReadConfig(config.offset, std::span(reply.bytes).subspan(sizeof config, config.size));
  return reply;
}

Status Backend::SetConfig(const Message& message) {
  if (message.header.size < sizeof(ConfigHeader)) {
    return Fail(ErrorCode::kProtocol, "a configuration of {} bytes", message.header.size);
  }
  ConfigHeader config;
  std::memcpy(&config, message.bytes.data(), sizeof config);
  device_.WriteConfig(config.offset, message.payload().subspan(sizeof config));
  return {};
}

void Backend::Interrupt(size_t queue) {
  RingState& ring = rings_[queue];
  ring.ring.Signal();
  ring.outstanding = ring.fresh = true;
  if (repeat_.armed()) return;
  repeats_ = 0;
  repeat_.Arm(kRepeatAfter);
}

void Backend::CheckInterrupts() {
  bool waiting = false;
  bool repeated = false;
  for (size_t i = 0; i < rings_.size(); ++i) {
    RingState& ring = rings_[i];
    if (!ring.outstanding) continue;
    if (queues_[i].InterruptNoticed()) {
      ring.outstanding = ring.fresh = false;
      continue;
    }
    waiting = true;
    if (std::exchange(ring.fresh, false)) continue;  // not a whole interval old
    ring.ring.Signal();
    repeated = true;
  }
  if (repeated) ++repeats_;
  if (waiting && repeats_ < kMaxRepeats) repeat_.Arm(kRepeatAfter * (1 << repeats_));
}

void Backend::Broken(const std::string& reason) { events_.GuestBroken(reason); }

}  // namespace msb::vmm::uml
