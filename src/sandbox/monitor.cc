#include "src/sandbox/monitor.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <vector>

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/sandbox/placement.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;
using base::UniqueFd;

constexpr const char* kEngine = "uml";
constexpr size_t kLogLines = 40;
constexpr size_t kMaxLog = 8 * 1024;
constexpr size_t kMaxMessage = 1024;
constexpr uint32_t kBlockDevice = 2;  // virtio 1.2, section 5
constexpr uint32_t kVsockDevice = 19;

base::Result<UniqueFd> OpenHelper(const std::string& name) {
  const std::string directory = TRY(base::LibexecDirectory());
  return base::OpenFile(directory + "/" + name, O_RDONLY)
      .WithContext("this installation of microsandbox is incomplete");
}

}  // namespace

base::Result<std::unique_ptr<Monitor>> Monitor::Create(UniqueFd lease) {
  auto loop = TRY(base::EventLoop::Create());
  std::unique_ptr<Monitor> monitor(new Monitor(std::move(loop), std::move(lease)));
  TRY(monitor->Watch());
  return monitor;
}

Monitor::~Monitor() = default;

base::Status Monitor::Watch() {
  lease_.watch = TRY(loop_->Add(lease_.socket.get(), EPOLLIN, [this](uint32_t) { OnLease(); }));
  signals_ = TRY(loop_->AddSignals({SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD},
                                   [this](const signalfd_siginfo& info) {
                                     const bool stop = info.ssi_signo == SIGTERM;
                                     if (stop) OnStop(std::chrono::seconds(10));
                                   }));
  deadline_ = TRY(loop_->AddTimer([this] {
    if (stopping_) return End(EndReason::kRequested, "stopped: the guest did not stop in time");
    End(EndReason::kStartFailed,
        fmt::format("the guest did not get ready within {} s", kStartDeadline.count()), true);
  }));
  return {};
}

base::Status Monitor::Run() {
  TRY(loop_->Run());
  if (ended_) {
    FromMonitor message;
    message.ended = *ended_;
    for (const Client& client : clients_) Answer(client, message);
    run_.reset();  // the directory goes before the lease is told
    Answer(lease_, message);
  }
  return {};
}

// --- requests ------------------------------------------------------------------------------------

void Monitor::OnLease() {
  if (Serve(lease_)) return;
  lease_.watch.Reset();
  if (!running_ || !spec_.detached) OnStop(std::chrono::seconds(10));
}

void Monitor::OnClient(Clients::iterator client) {
  if (!Serve(*client)) clients_.erase(client);
}

bool Monitor::Serve(Client& client) {
  std::vector<std::byte> buffer(kMaxMonitorMessage);
  auto received = base::ReceiveWithFds(client.socket.get(), buffer, /*nonblocking=*/true);
  if (!received) return received.error().sys_errno() == EAGAIN;
  if (received->size == 0) return false;
  FromMonitor complaint;
  if (received->truncated) {
    complaint.failure = {agent::FailureCode::kLimit, "the request is too long"};
  }
  const std::string_view text(reinterpret_cast<const char*>(buffer.data()), received->size);
  const auto message = base::json::Parse<ToMonitor>(text);
  if (!message) {
    complaint.failure = {agent::FailureCode::kInvalid, message.error().message()};
  } else if (message->version < kOldestMonitorVersion) {
    complaint.failure = {
        agent::FailureCode::kVersion,
        fmt::format("this sandbox speaks version {}, not {}", kMonitorVersion, message->version)};
  }
  if (complaint.failure) {
    Answer(client, complaint);
    return &client != &lease_;
  }
  Handle(client, *message, std::move(received->fds));
  return true;
}

void Monitor::Handle(Client& client, const ToMonitor& message, std::vector<UniqueFd> fds) {
  FromMonitor reply;
  if (message.start && &client == &lease_ && !run_) {
    const base::Status started = Start(*message.start, fds);
    if (!started) End(EndReason::kStartFailed, started.error().message());
    return;
  }
  if (message.connect_agent && fds.size() == 1 && running_) {
    const base::Status connected = ConnectAgent(fds[0].get());
    if (connected) return;
    reply.failure = {agent::FailureCode::kSystem, connected.error().message()};
  } else if (message.stop) {
    return OnStop(std::chrono::milliseconds(message.stop->grace_ms));
  } else {
    reply.failure = {agent::FailureCode::kUnsupported, "an unknown request, or one out of turn"};
  }
  Answer(client, reply);
}

void Monitor::Answer(const Client& client, const FromMonitor& message) {
  const std::string text = base::json::Write(message);
  // A client that does not read loses the answer, not the sandbox.
  (void)::send(client.socket.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

base::Status Monitor::Listen() {
  listener_ = TRY(base::ListenUnixAt(run_->fd(), "control", base::SocketType::kSeqPacket, 0600));
  listener_watch_ = TRY(loop_->Add(listener_.get(), EPOLLIN, [this](uint32_t) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket || clients_.size() >= kMaxClients) return;
    const auto peer = base::GetPeerCredentials(socket.get());
    if (!peer || (peer->uid != 0 && peer->uid != ::geteuid())) return;
    const auto client = clients_.insert(clients_.end(), Client{std::move(socket), {}});
    auto watch =
        loop_->Add(client->socket.get(), EPOLLIN, [this, client](uint32_t) { OnClient(client); });
    if (watch) {
      client->watch = *std::move(watch);
    } else {
      clients_.erase(client);
    }
  }));
  return {};
}

// --- start ---------------------------------------------------------------------------------------

base::Status Monitor::Start(const SandboxSpec& spec, const std::vector<UniqueFd>& fds) {
  spec_ = spec;
  deadline_.Arm(kStartDeadline);
  identity_ = TRY(TakeHostIdentity());
  run_ = TRY(RunDirectory::Create(spec.id));
  TRY(Listen());
  TRY(StartKernel(spec));
  TRY(StartDevices(spec, fds));
  TRY(ConfigureAgent(spec));
  for (const uint32_t stream : spec.streams) {
    if (stream >= fds.size()) return base::Fail(ErrorCode::kProtocol, "a stream has no descriptor");
    TRY(ConnectAgent(fds[stream].get()));
  }
  return WriteState("starting");
}

base::Status Monitor::StartKernel(const SandboxSpec& spec) {
  const UniqueFd kernel = TRY(OpenHelper("linux"));
  const UniqueFd init = TRY(OpenHelper("msb-jail-init"));
  const UniqueFd initramfs = TRY(OpenHelper("initramfs.cpio"));
  UniqueFd log_end;
  log_ = TRY(GuestLog::Create(*loop_, log_end));
  GuestKernelSpec guest;
  guest.kernel_fd = kernel.get();
  guest.init_fd = init.get();
  guest.initramfs_fd = initramfs.get();
  guest.memory_bytes = spec.memory_bytes;
  guest.device_ids.assign(spec.disks.size(), kBlockDevice);
  guest.device_ids.push_back(kVsockDevice);
  guest.host_uid = identity_.uid;
  guest.host_gid = identity_.gid;
  guest.identity_lock_fd = identity_.lock.get();
  guest.cpu = ChooseCpu();
  guest.log_fd = log_end.get();
  kernel_ = TRY(StartGuestKernel(guest));
  kernel_watch_ =
      TRY(loop_->Add(kernel_->status.get(), EPOLLIN, [this](uint32_t) { OnKernelStatus(); }));

  const UniqueFd vmm = TRY(OpenHelper("msb-vmm"));
  VmmSpec device;
  device.executable_fd = vmm.get();
  device.lock_fd = run_->lock_fd();
  device.identity_lock_fd = identity_.lock.get();
  device.host_uid = identity_.uid;
  device.host_gid = identity_.gid;
  device.memory_bytes = spec.memory_bytes;
  for (const vmm::Disk& disk : spec.disks) {
    if (disk.read_only) continue;
    for (const vmm::DiskPart& part : disk.parts) device.disk_bytes += part.length;
  }
  device.cpu = guest.cpu;
  vmm_ = TRY(
      VmmProcess::Start(*loop_, device, [this](const vmm::FromVmm& event) { OnVmmEvent(event); }));
  vmm_watch_ = TRY(loop_->Add(vmm_->child().pid_fd.get(), EPOLLIN, [this](uint32_t) {
    const std::string why = vmm_complaint_.empty() ? "msb-vmm died" : vmm_complaint_;
    End(EndReason::kVmmEnded, why, true);
  }));
  return {};
}

base::Status Monitor::StartDevices(const SandboxSpec& spec, const std::vector<UniqueFd>& fds) {
  // One packet: the disks' descriptors as they came, then the listeners.
  std::vector<int> all;
  for (const UniqueFd& fd : fds) all.push_back(fd.get());
  vmm::ToVmm message;
  message.start.emplace();
  message.start->disks = spec.disks;
  message.start->memory_bytes = spec.memory_bytes;
  for (const UniqueFd& listener : kernel_->listeners) {
    message.start->listeners.push_back(static_cast<uint32_t>(all.size()));
    all.push_back(listener.get());
  }
  if (all.size() > base::kMaxFdsPerMessage) {
    return base::Fail(ErrorCode::kLimit, "the image has too many layers");
  }
  TRY(vmm_->Send(message, all));
  kernel_->listeners.clear();
  return {};
}

base::Status Monitor::ConfigureAgent(const SandboxSpec& spec) {
  base::Pair pair = TRY(base::MakeSocketPair(base::SocketType::kStream));
  TRY(ConnectAgent(pair.second.get()));
  agent_ = TRY(agent::Control::Create(*loop_, std::move(pair.first), [](const agent::Failure&) {
    // The guest's end is seen by its status; a stream that alone broke changes nothing.
  }));
  agent::Configure configure = spec.configure;
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  configure.clock_ns = now.tv_sec * 1'000'000'000 + now.tv_nsec;
  configure.epoch = base::RandomHex(16);
  std::array<uint8_t, 64> entropy;
  base::FillRandom(entropy);
  configure.entropy.data.assign(entropy.begin(), entropy.end());
  agent_->SendConfigure(
      configure, [this](const agent::Answer<agent::Configured>& answer) { OnConfigured(answer); });
  return {};
}

base::Status Monitor::ConnectAgent(int stream_fd) {
  vmm::ToVmm message;
  message.open_stream = {next_stream_++, agent::kPort};
  return vmm_->Send(message, std::span(&stream_fd, 1));
}

base::Status Monitor::WriteState(const char* status) {
  State state;
  state.id = spec_.id;
  state.name = spec_.name;
  state.image = spec_.image;
  state.engine = kEngine;
  state.boot_id = TRY(base::BootId());
  state.monitor_pid = ::getpid();
  state.monitor_start_time = TRY(base::ProcessStartTime(::getpid()));
  state.vmm_pid = vmm_ ? vmm_->child().pid : 0;
  state.guest_pid = kernel_ ? kernel_->child.pid : 0;
  state.status = status;
  return run_->WriteState(state);
}

// --- events --------------------------------------------------------------------------------------

void Monitor::OnConfigured(const agent::Answer<agent::Configured>& answer) {
  if (!answer) {
    // A guest that died says so by its status, with a better reason.
    if (answer.error().code == agent::FailureCode::kDisconnected) return;
    return End(
        EndReason::kStartFailed,
        "the guest cannot be set up: " + base::EscapeForTerminal(answer.error().message.data),
        true);
  }
  deadline_.Disarm();
  running_ = true;
  FromMonitor message;
  message.running = {kEngine, answer->configure_us, answer->uptime_us};
  Answer(lease_, message);
  const base::Status written = WriteState("running");
  if (!written) LOG(kWarning, "cannot record the state: {}", written.error().message());
}

void Monitor::OnVmmEvent(const vmm::FromVmm& event) {
  switch (event.event) {
    case vmm::VmmEvent::kGuestBroken:
    case vmm::VmmEvent::kDiskFailed:
      vmm_complaint_ = base::EscapeForTerminal(event.message.value_or("no reason given"));
      return;  // msb-vmm ends now
    case vmm::VmmEvent::kDiskFull:
      return Notice("the host's disk is full: the sandbox waits until there is room");
    case vmm::VmmEvent::kDiskResumed:
      return Notice("the host's disk has room again: the sandbox goes on");
    default:
      return;
  }
}

void Monitor::Notice(const char* line) {
  if (!notices_.Allow()) return;
  FromMonitor message;
  message.notice = line;
  Answer(lease_, message);
}

void Monitor::OnKernelStatus() {
  int status = 0;
  const auto got =
      base::ReadFull(kernel_->status.get(), std::as_writable_bytes(std::span(&status, 1)));
  const std::string how = got ? DescribeKernelStatus(status) : "was killed";
  if (stopping_ && got && status == 0) return End(EndReason::kRequested, "stopped");
  if (got && status == 0) {
    return End(EndReason::kGuestEnded, "the guest powered off");
  }
  End(EndReason::kGuestEnded, "the guest kernel " + how, true);
}

void Monitor::OnStop(std::chrono::milliseconds grace) {
  if (spec_.temporary || !running_) return End(EndReason::kRequested, "stopped");
  stopping_ = true;
  agent::Shutdown shutdown;
  shutdown.grace_ms = static_cast<uint32_t>(grace.count());
  agent_->SendShutdown(shutdown, [this](const agent::Answer<void>& answer) {
    // Disks are safe; no need to watch the guest power off.
    if (answer) End(EndReason::kRequested, "stopped");
  });
  deadline_.Arm(grace + std::chrono::seconds(5));
}

void Monitor::End(EndReason reason, std::string message, bool show_log) {
  if (ended_) return;
  // Foreign text may be in it, and all of it must fit into one packet.
  if (message.size() > kMaxMessage) message.resize(kMaxMessage);
  ended_ = Ended{reason, std::move(message), {}};
  // The guest first: nothing may run that believes in devices which are gone.
  const auto reap = [](const jail::Child& child) {
    (void)base::PidFdSignal(child.pid_fd.get(), SIGKILL);
    (void)base::WaitPidFd(child.pid_fd.get());
  };
  kernel_watch_.Reset();
  vmm_watch_.Reset();
  if (kernel_) reap(kernel_->child);
  if (vmm_) reap(vmm_->child());
  if (show_log && log_) ended_->guest_log.data = log_->Tail(kLogLines, kMaxLog);
  loop_->Stop();
}

}  // namespace msb::sandbox
