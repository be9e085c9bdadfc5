#include "src/vmm/machine.h"

#include <utility>

#include "src/base/log.h"
#include "src/vmm/guest_fault.h"

namespace msb::vmm {
namespace {

using base::Error;
using base::ErrorCode;
using base::Fail;
using base::Result;
using base::Status;
using base::UniqueFd;
using SharedFd = std::shared_ptr<const UniqueFd>;
using virtio::block::BlockDevice;

Result<SharedFd> FileAt(std::span<const SharedFd> fds, uint32_t index) {
  if (index >= fds.size()) return Fail(ErrorCode::kInvalid, "descriptor {} is missing", index);
  return fds[index];
}

Result<UniqueFd> TakeSocket(std::span<UniqueFd> fds, uint32_t index) {
  if (index >= fds.size() || !fds[index].valid()) {
    return Fail(ErrorCode::kInvalid, "descriptor {} is missing", index);
  }
  return std::move(fds[index]);
}

}  // namespace

Result<std::unique_ptr<Machine>> Machine::Create(base::EventLoop& loop, Control& control,
                                                 const Start& start, std::vector<UniqueFd> fds) {
  if (start.listeners.size() != start.disks.size() + 1) {
    return Fail(ErrorCode::kInvalid, "{} devices with {} sockets", start.disks.size() + 1,
                start.listeners.size());
  }
  std::unique_ptr<Machine> machine(new Machine(loop, control, start.memory_bytes));
  std::vector<UniqueFd> listeners;
  for (const uint32_t index : start.listeners) listeners.push_back(TRY(TakeSocket(fds, index)));
  std::vector<SharedFd> files;
  for (UniqueFd& fd : fds) files.push_back(std::make_shared<const UniqueFd>(std::move(fd)));
  for (size_t i = 0; i < start.disks.size(); ++i) {
    TRY(machine->AddDisk(start.disks[i], files));
    TRY(machine->AddServer(fmt::format("disk {}", i), *machine->disks_[i],
                           std::move(listeners[i])));
  }
  TRY(machine->AddVsock(start.guest_cid));
  TRY(machine->AddServer("vsock", *machine->vsock_, std::move(listeners.back())));
  machine->control_watch_ =
      TRY(loop.Add(control.fd(), EPOLLIN, [self = machine.get()](uint32_t) { self->OnControl(); }));
  return machine;
}

Machine::~Machine() { GuardGuestMemory(nullptr); }

Status Machine::AddDisk(const Disk& disk, std::span<const SharedFd> fds) {
  std::vector<virtio::block::Disk::Part> parts;
  parts.reserve(disk.parts.size());
  for (const DiskPart& part : disk.parts) {
    SharedFd file = part.fd ? TRY(FileAt(fds, *part.fd)) : nullptr;
    if (file != nullptr && !file->valid()) {
      return Fail(ErrorCode::kInvalid, "descriptor {} is a socket", *part.fd);
    }
    parts.push_back({std::move(file), part.offset, part.length});
  }
  const auto index = static_cast<uint32_t>(disks_.size());
  disk_events_.push_back(std::make_unique<DiskEvents>(*this, index));
  disks_.push_back(TRY(
      BlockDevice::Create(loop_, TRY(virtio::block::Disk::Create(std::move(parts), disk.read_only)),
                          {.serial = fmt::format("msb-disk-{}", index), .durable = disk.durable},
                          *disk_events_.back())));
  return {};
}

Status Machine::AddVsock(uint32_t guest_cid) {
  vsock_ = TRY(virtio::vsock::VsockDevice::Create(loop_, {.guest_cid = guest_cid}, *this));
  return {};
}

Status Machine::AddServer(std::string name, virtio::Device& device, UniqueFd listener) {
  servers_.push_back(TRY(uml::Server::Create(loop_, std::move(listener), std::move(name), device,
                                             guest_file_, *this)));
  return {};
}

Status Machine::Serve() {
  Tell({.event = VmmEvent::kStarted});
  TRY(loop_.Run());
  return std::move(result_);
}

void Machine::OnControl() {
  Status status = HandleRequest();
  if (status) return;
  if (status.error().code() == ErrorCode::kClosed) {
    loop_.Stop();
  } else {
    End(std::move(status).error());
  }
}

Status Machine::HandleRequest() {
  Control::Request request = TRY(control_.Receive());
  if (request.message.open_stream) {
    return OpenStream(*request.message.open_stream, std::move(request.fds));
  }
  if (request.message.resume) {
    const uint32_t disk = request.message.resume->disk;
    if (disk >= disks_.size()) return Fail(ErrorCode::kInvalid, "there is no disk {}", disk);
    disks_[disk]->Resume();
    return {};
  }
  return Fail(ErrorCode::kProtocol, "a request that is not understood");
}

Status Machine::OpenStream(const struct OpenStream& request, std::vector<UniqueFd> fds) {
  if (fds.size() != 1) {
    return Fail(ErrorCode::kProtocol, "a stream with {} descriptors", fds.size());
  }
  vsock_->OpenStream(request.id, request.port, std::move(fds.front()));
  return {};
}

void Machine::Tell(const FromVmm& event) {
  const Status sent = control_.Send(event);
  if (!sent && sent.error().code() != ErrorCode::kClosed) End(sent.error());
}

void Machine::End(Error why) {
  if (result_) result_ = std::move(why);
  loop_.Stop();
}

void Machine::GuestBroken(const std::string& reason) {
  Tell({.event = VmmEvent::kGuestBroken, .message = reason});
  End(Fail(ErrorCode::kProtocol, "{}", reason));
}

void Machine::AgentListening() {
  // Once: a guest that resets its device over and over is no reason to write to the monitor.
  if (!std::exchange(agent_told_, true)) Tell({.event = VmmEvent::kAgentListening});
}

void Machine::StreamFailed(uint32_t id, const std::string& reason) {
  Tell({.event = VmmEvent::kStreamFailed, .id = id, .message = reason});
}

void Machine::DiskEvents::DiskFull(const std::string& message) {
  machine_.Tell({.event = VmmEvent::kDiskFull, .disk = disk_, .message = message});
}

void Machine::DiskEvents::DiskResumed() {
  machine_.Tell({.event = VmmEvent::kDiskResumed, .disk = disk_});
}

void Machine::DiskEvents::DiskFailed(const std::string& message) {
  machine_.Tell({.event = VmmEvent::kDiskFailed, .disk = disk_, .message = message});
  machine_.End(Fail(ErrorCode::kSystem, "{}", message));
}

}  // namespace msb::vmm
