// The start of a sandbox: jails, devices, agent, program. See monitor.h.
#include <fcntl.h>
#include <malloc.h>
#include <time.h>

#include <array>
#include <vector>

#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/sandbox/disk_lock.h"
#include "src/sandbox/monitor.h"
#include "src/sandbox/names.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;
using base::UniqueFd;

constexpr const char* kEngine = "uml";
constexpr uint32_t kBlockDevice = 2;  // virtio 1.2, section 5
constexpr uint32_t kVsockDevice = 19;
constexpr size_t kIdDigitsInName = 12;

base::Result<UniqueFd> OpenHelper(const std::string& name) {
  const std::string directory = TRY(base::LibexecDirectory());
  return base::OpenFile(directory + "/" + name, O_RDONLY)
      .WithContext("this installation of microsandbox is incomplete");
}

}  // namespace

base::Status Monitor::Start(const SandboxSpec& spec, const std::vector<UniqueFd>& fds) {
  spec_ = spec;
  deadline_.Arm(kStartDeadline);
  TRY(CheckLimits({spec.lifetime_ms, spec.idle_ms}));
  ApplyLimits({spec.lifetime_ms, spec.idle_ms});
  identity_ = TRY(TakeHostIdentity());
  const bool make_up = spec.detached && spec.name.empty();
  run_ = TRY(RunDirectory::Create(spec.id, make_up ? RunDirectory::kMakeUp : spec.name));
  spec_.name = run_->name().empty() ? spec.id.substr(0, kIdDigitsInName) : run_->name();
  TRY(Describe());
  TRY(LockDisks(spec, fds));
  TRY(Listen());
  TRY(StartKernel(spec));
  TRY(StartDevices(spec, fds));
  TRY(ConfigureAgent(spec));
  for (const uint32_t stream : spec.streams) {
    if (stream >= fds.size()) return base::Fail(ErrorCode::kProtocol, "a stream has no descriptor");
    TRY(ConnectAgent(fds[stream].get()));
  }
  if (spec.detached) run_->ReserveRoom(state_);
  if (spec.detached && spec.program) TRY(StartProgram(*spec.program));
  state_.vmm = DescribeProcess(vmm_->child().pid);
  state_.guest = DescribeProcess(kernel_->child.pid);
  return WriteState();
}

base::Status Monitor::Describe() {
  state_.id = spec_.id;
  state_.name = spec_.name;
  state_.image = spec_.image;
  state_.defaults = spec_.defaults;
  state_.program = spec_.program;
  state_.ends_with_program = spec_.ends_with_program;
  state_.memory_bytes = spec_.memory_bytes;
  state_.disk_path = spec_.disk_path;
  state_.detached = spec_.detached;
  state_.engine = kEngine;
  state_.boot_id = TRY(base::BootId());
  state_.created_ms = WallClockMs();
  state_.monitor = DescribeProcess(::getpid());
  return {};
}

base::Status Monitor::LockDisks(const SandboxSpec& spec, const std::vector<UniqueFd>& fds) {
  if (spec.temporary) return {};
  for (const vmm::Disk& disk : spec.disks) {
    if (disk.read_only) continue;
    for (const vmm::DiskPart& part : disk.parts) {
      if (!part.fd || *part.fd >= fds.size()) {
        return base::Fail(ErrorCode::kProtocol, "a writable disk has no descriptor");
      }
      TRY(LockDisk(fds[*part.fd].get(), spec.disk_path));
    }
  }
  return {};
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
  placement_ = Placement::Choose(run_->parent_fd(), spec.cpus);
  guest.cpu = placement_->cpu();
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
  configure.hostname = std::string(WithoutNamespace(spec_.name));
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

base::Status Monitor::StartProgram(const agent::Exec& program) {
  program_log_ = TRY(ProgramLog::Create(run_->fd()));
  base::Pair pair = TRY(base::MakeSocketPair(base::SocketType::kStream));
  TRY(ConnectAgent(pair.second.get()));
  agent::Attachment::Callbacks callbacks;
  callbacks.on_started = [this](const agent::Started&) { OnStarted(); };
  callbacks.on_stdout = [this](std::string_view data) { OnOutput(LogStream::kStdout, data); };
  callbacks.on_stderr = [this](std::string_view data) { OnOutput(LogStream::kStderr, data); };
  callbacks.on_exit = [this](const agent::Exited& exited) { OnProgramExit(exited); };
  callbacks.on_failed = [this](const agent::Failure& failure) { OnProgramFailed(failure); };
  program_ =
      TRY(agent::Attachment::Execute(*loop_, std::move(pair.first), program, std::move(callbacks)));
  return {};
}

void Monitor::OnConfigured(const agent::Answer<agent::Configured>& answer) {
  if (!answer) {
    // A guest that died says so by its status, with a better reason.
    if (answer.error().code == agent::FailureCode::kDisconnected) return;
    return End(
        EndReason::kStartFailed,
        "the guest cannot be set up: " + base::EscapeForTerminal(answer.error().message.data),
        true);
  }
  FromMonitor message;
  message.running = {kEngine, answer->configure_us, answer->uptime_us};
  Answer(lease_, message);
  if (!spec_.detached) return OnReady();
  if (!spec_.program) OnStarted();
}

void Monitor::OnStarted() {
  OnReady();
  FromMonitor message;
  message.program_started = {spec_.name};
  Answer(lease_, message);
}

void Monitor::OnReady() {
  if (!Apply(Happening::kReady)) return;
  ready_ = true;
  deadline_.Disarm();
  if (disk_full_) Apply(Happening::kDiskFull);
  UpdateIdle();
  placement_->Follow(*loop_, [this](int cpu) { return MoveTo(cpu); });
  ::malloc_trim(0);  // the start needed far more than what follows, which may be long
}

}  // namespace msb::sandbox
