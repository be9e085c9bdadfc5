#include "src/virtio/vsock/vsock.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "src/base/sys.h"

namespace msb::virtio::vsock {
namespace {

using base::Result;
using base::Status;

constexpr std::array<uint16_t, 3> kQueueSizes = {256, 256, 256};  // receive, transmit, events

}  // namespace

Result<std::unique_ptr<VsockDevice>> VsockDevice::Create(base::EventLoop& loop,
                                                         VsockOptions options,
                                                         VsockEvents& events) {
  std::unique_ptr<VsockDevice> device(new VsockDevice(loop, options, events));
  device->deadline_timer_ = TRY(loop.AddTimer([self = device.get()] { self->OnDeadline(); }));
  return device;
}

std::span<const uint16_t> VsockDevice::max_queue_sizes() const { return kQueueSizes; }

void VsockDevice::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  std::ranges::fill(out, std::byte{0});
  const Config config = {options_.guest_cid};
  if (offset >= sizeof config) return;
  const auto bytes = std::as_bytes(std::span(&config, 1)).subspan(offset);
  std::memcpy(out.data(), bytes.data(), std::min(bytes.size(), out.size()));
}

void VsockDevice::Kick(size_t queue) {
  if (queue == 1) tx_pending_ = true;
  WorkLater();
}

void VsockDevice::Reset() {
  active_ = {};
  broken_ = agent_listening_ = tx_pending_ = false;
  receive_buffers_.Clear();
  resets_.clear();
  while (!connections_.empty()) Remove(connections_.begin()->first);
  deadlines_.clear();
  deadline_timer_.Disarm();
}

void VsockDevice::Break(const std::string& reason) {
  if (std::exchange(broken_, true)) return;
  active_.transport->Broken(reason);
}

// Once for all events of a turn: a batch of packets costs one interrupt.
void VsockDevice::WorkLater() {
  if (!working() || std::exchange(work_scheduled_, true)) return;
  loop_.Defer([this] {
    work_scheduled_ = false;
    Work();
  });
}

void VsockDevice::Work() {
  if (!working()) return;
  if (std::exchange(tx_pending_, false)) DrainTx();
  if (working()) SendToGuest();
  if (!working()) return;
  for (const size_t queue : {0, 1}) {
    if (active_.queues[queue].broken()) return Break(active_.queues[queue].broken_reason());
    if (active_.queues[queue].ShouldInterrupt()) active_.transport->Interrupt(queue);
  }
}

// --- from the guest ------------------------------------------------------------------------------

void VsockDevice::DrainTx() {
  const Drained drained = Drain(tx(), scratch_, [this](Chain& chain) {
    OnGuestPacket(chain);
    if (working()) tx().Push(chain, 0);
    return working();
  });
  if (drained == Drained::kMore) {
    tx_pending_ = true;
    WorkLater();
  }
}

void VsockDevice::OnGuestPacket(const Chain& chain) {
  const GuestSlice packet = chain.readable();
  Header header;
  if (active_.memory->Gather(packet, std::as_writable_bytes(std::span(&header, 1))) !=
      sizeof header) {
    return;
  }
  // A forged sender or another receiver: not answered, since the answer would go astray too.
  if (header.src_cid != options_.guest_cid || header.dst_cid != kHostCid) return;
  const Key key = KeyOf({header.dst_port, header.src_port});
  const auto found = connections_.find(key);
  if (header.type != kTypeStream || found == connections_.end() ||
      found->second->state() == Connection::State::kDraining) {
    OnStrayPacket(header);
    return;
  }
  Connection& connection = *found->second;
  const Status status = connection.OnPacket(*active_.memory, header, packet.Sub(sizeof header));
  if (!status) return Break("the guest broke its memory");
  AfterChange(connection);
}

void VsockDevice::OnStrayPacket(const Header& header) {
  if (Op{header.op} == Op::kReset) return;  // a reset is never answered, or resets would breed
  if (resets_.size() < kMaxResets) resets_.push_back({header.dst_port, header.src_port});
  if (Op{header.op} == Op::kRequest && header.type == kTypeStream &&
      header.dst_port == options_.announcement_port) {
    AgentAnnounced();
  }
}

void VsockDevice::AgentAnnounced() {
  if (std::exchange(agent_listening_, true)) return;
  events_.AgentListening();
  while (!held_.empty()) {
    HeldStream stream = std::move(held_.front());
    held_.pop_front();
    Connect(std::move(stream));
  }
}

// --- to the guest --------------------------------------------------------------------------------

void VsockDevice::SendToGuest() {
  // A guest that returns buffers as fast as they are filled does not keep us here.
  for (uint32_t budget = rx().size(); budget > 0; --budget) {
    if (resets_.empty() && ready_.empty()) return;
    if (!HaveReceiveBuffer()) return;  // its kick brings us back
    if (SendReset()) continue;
    const Key key = ready_.front();
    ready_.pop_front();
    in_ready_.erase(key);
    const auto found = connections_.find(key);
    if (found == connections_.end()) continue;
    SendFrom(*found->second);
    if (!working()) return;
    AfterChange(*found->second);
  }
  WorkLater();
}

bool VsockDevice::HaveReceiveBuffer() {
  while (receive_buffers_.Fill(rx(), 1) == 0) {
    if (!rx().EnableKicks()) return false;
  }
  return true;
}

bool VsockDevice::SendReset() {
  if (resets_.empty()) return false;
  const Connection::Ports ports = resets_.front();
  resets_.pop_front();
  Complete({.src_cid = kHostCid,
            .dst_cid = 0,
            .src_port = ports.host,
            .dst_port = ports.guest,
            .length = 0,
            .type = kTypeStream,
            .op = static_cast<uint16_t>(Op::kReset),
            .flags = 0,
            .buf_alloc = 0,
            .fwd_cnt = 0});
  return true;
}

// One control packet, or one batch of data.
void VsockDevice::SendFrom(Connection& connection) {
  const bool was_closing = connection.closing();
  if (const std::optional<Header> control = connection.TakeControl()) {
    Complete(*control);
    if (!was_closing && connection.closing()) SetDeadline(KeyOf(connection.ports()), false);
    return;
  }
  if (const uint32_t credit = connection.DataCredit(); credit > 0) SendData(connection, credit);
}

void VsockDevice::SendData(Connection& connection, uint32_t credit) {
  const size_t buffers = receive_buffers_.Fill(rx(), ReceiveBuffers::kBatch);
  std::array<GuestSlice, ReceiveBuffers::kBatch> slices;
  uint64_t room = 0;
  size_t used = 0;
  while (used < buffers && room < credit) {
    const uint64_t most = std::min<uint64_t>(kMaxPayload, credit - room);
    slices[used] = receive_buffers_.Payload(used).Sub(0, most);
    room += slices[used++].length;
  }
  const Result<size_t> received =
      active_.memory->Receive(connection.host_fd(), std::span(slices).first(used));
  if (!received) {
    if (received.error().sys_errno() == EFAULT) return Break("the guest broke its memory");
    if (received.error().sys_errno() == EAGAIN) return connection.OnHostBusy();
    return connection.OnHostError();
  }
  if (*received == 0) return connection.OnHostEnd();
  for (uint64_t left = *received, i = 0; left > 0; ++i) {
    const auto length = static_cast<uint32_t>(std::min(left, slices[i].length));
    Complete(connection.DataHeader(length));
    left -= length;
  }
}

void VsockDevice::Complete(Header header) {
  header.dst_cid = options_.guest_cid;
  receive_buffers_.Complete(rx(), *active_.memory, header);
}

// --- the table -----------------------------------------------------------------------------------

void VsockDevice::OpenStream(uint32_t id, uint32_t port, base::UniqueFd host) {
  if (connections_.size() + held_.size() >= kMaxConnections) {
    events_.StreamFailed(id, "too many streams");
    return;
  }
  HeldStream stream = {id, port, std::move(host)};
  if (agent_listening_) {
    Connect(std::move(stream));
  } else {
    held_.push_back(std::move(stream));
  }
}

void VsockDevice::Connect(HeldStream stream) {
  // Unique among the streams that live: the counter wraps after 2^32 streams.
  while (connections_.contains(KeyOf({next_port_, stream.port}))) ++next_port_;
  const Connection::Ports ports = {next_port_++, stream.port};
  const Key key = KeyOf(ports);
  auto connection = std::make_unique<Connection>(ports, stream.id, std::move(stream.host));
  Result<base::Watch> watch =
      loop_.Add(connection->host_fd(), Connection::kHostEvents,
                [this, key](uint32_t events) { OnHostEvents(key, events); });
  if (!watch) {
    events_.StreamFailed(stream.id, watch.error().message());
    return;
  }
  connection->SetWatch(*std::move(watch));
  connections_.emplace(key, std::move(connection));
  SetDeadline(key, /*connect=*/true);
  MarkReady(key);
}

void VsockDevice::OnHostEvents(Key key, uint32_t events) {
  const auto found = connections_.find(key);
  if (found == connections_.end()) return;
  found->second->OnHostEvents(events);
  AfterChange(*found->second);
}

void VsockDevice::MarkReady(Key key) {
  if (in_ready_.insert(key).second) ready_.push_back(key);
  WorkLater();
}

void VsockDevice::AfterChange(Connection& connection) {
  const Key key = KeyOf(connection.ports());
  if (connection.state() == Connection::State::kDead) {
    Remove(key);
  } else if (connection.HasWork()) {
    MarkReady(key);
  }
}

void VsockDevice::Remove(Key key) {
  const auto found = connections_.find(key);
  const uint32_t id = found->second->id();
  const bool was_open = found->second->was_open();
  connections_.erase(found);
  if (!was_open) events_.StreamFailed(id, "the guest does not accept the stream");
}

// All waits of a kind are equally long, so the queue of deadlines is almost in order; each is
// looked at when it comes to the front, which is at most the difference of the two kinds late.
void VsockDevice::SetDeadline(Key key, bool connect) {
  const std::chrono::nanoseconds wait = connect ? options_.connect_timeout : options_.close_timeout;
  deadlines_.push_back({base::BootTimeNanos() + wait.count(), key, connect});
  if (!deadline_timer_.armed()) ArmDeadlines();
}

void VsockDevice::ArmDeadlines() {
  if (deadlines_.empty()) return;
  deadline_timer_.Arm(std::chrono::nanoseconds(deadlines_.front().at_ns - base::BootTimeNanos()));
}

void VsockDevice::OnDeadline() {
  const int64_t now = base::BootTimeNanos();
  while (!deadlines_.empty() && deadlines_.front().at_ns <= now) {
    const Deadline due = deadlines_.front();
    deadlines_.pop_front();
    const auto found = connections_.find(due.key);
    if (found == connections_.end()) continue;
    Connection& connection = *found->second;
    const bool late =
        due.connect ? connection.state() == Connection::State::kConnecting : connection.closing();
    if (!late) continue;
    connection.Abort();
    AfterChange(connection);
  }
  ArmDeadlines();
}

}  // namespace msb::virtio::vsock
