#include "src/sandbox/guest_kernel.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "src/sandbox/guest_seccomp.h"

namespace msb::sandbox {
namespace {

constexpr uint64_t kMiB = 1024 * 1024;
// Below this, a 64 KiB folio for every touched page would starve small guests (machine.md, patch
// 02).
constexpr uint64_t kLargeFolioMemory = 256 * kMiB;

base::Status CopyInitramfs(int source_fd) {
  const base::UniqueFd target = TRY(base::OpenFile("i", O_WRONLY | O_CREAT | O_EXCL, 0400));
  off_t at = 0;
  for (;;) {
    const ssize_t sent = ::sendfile(target.get(), source_fd, &at, 1 << 30);
    if (sent < 0) return base::FailErrno("cannot copy the initramfs");
    if (sent == 0) return {};
  }
}

// Runs in the jailed child. Sockets must be made there: only it can reach its root by path.
base::Status Populate(const GuestKernelSpec& spec, int listeners_fd) {
  TRY(CopyInitramfs(spec.initramfs_fd));
  if (::mkdir("m", 0700) < 0) return base::FailErrno("cannot create the memory directory");
  std::vector<base::UniqueFd> listeners;
  std::vector<int> fds;
  for (size_t i = 0; i < spec.device_ids.size(); ++i) {
    listeners.push_back(
        TRY(base::ListenUnixAt(AT_FDCWD, fmt::format("{}", i), base::SocketType::kStream, 0600)));
    fds.push_back(listeners.back().get());
  }
  TRY(base::SendWithFds(listeners_fd, std::as_bytes(std::span("", 1)), fds));
  return {};
}

std::vector<std::string> Arguments(const GuestKernelSpec& spec) {
  std::vector<std::string> arguments = {
      "linux",        fmt::format("mem={}M", spec.memory_bytes / kMiB), "initrd=/i", "uml_dir=/m",
      "quiet",
      "seccomp=on",    // system calls are caught by seccomp, twice as fast as ptrace
      "con=null",      // no host terminal
      "stub_keep_fd",  // patch 04
      "stub_pool=8",   // patch 12
      "panic=-1",      // a panic ends the guest
  };
  if (spec.memory_bytes >= kLargeFolioMemory) {
    arguments.emplace_back("thp_anon=16K-64K:always");
  }
  for (size_t i = 0; i < spec.device_ids.size(); ++i) {
    arguments.push_back(fmt::format("virtio_uml.device=/{}:{}", i, spec.device_ids[i]));
  }
  return arguments;
}

}  // namespace

ProcessBounds BoundsFor(uint64_t memory_bytes) {
  const uint64_t processes = std::clamp<uint64_t>(memory_bytes / (2 * kMiB), 128, 8192);
  return {processes, std::max<uint64_t>(2 * memory_bytes / processes, 4 * kMiB)};
}

base::Result<GuestKernel> StartGuestKernel(const GuestKernelSpec& spec) {
  base::Pair listeners = TRY(base::MakeSocketPair(base::SocketType::kSeqPacket));
  base::Pair status = TRY(base::MakePipe());
  const auto initramfs_size = static_cast<uint64_t>(TRY(base::Stat(spec.initramfs_fd)).st_size);
  const ProcessBounds bounds = BoundsFor(spec.memory_bytes);

  jail::JailSpec jail;
  jail.name = "guest";
  jail.executable_fd = spec.init_fd;
  jail.argv = Arguments(spec);
  jail.env = {"TMPDIR=/m"};
  // The kernel dumps its log to standard output when it panics.
  jail.fds = {{spec.log_fd, 1}, {spec.log_fd, 2}, {spec.kernel_fd, 3}, {status.second.get(), 4}};
  if (spec.identity_lock_fd >= 0) jail.fds.push_back({spec.identity_lock_fd, 5});
  jail.host_uid = spec.host_uid;
  jail.host_gid = spec.host_gid;
  jail.root.size_bytes = spec.memory_bytes + initramfs_size + 16 * kMiB;
  jail.root.inodes = 64;
  jail.root.huge_pages = true;
  jail.root.writable = true;
  jail.root.populate = [&] { return Populate(spec, listeners.second.get()); };
  jail.cpu = spec.cpu;
  jail.fixed_address_layout = true;
  jail.limits = {{RLIMIT_NPROC, bounds.processes},
                 {RLIMIT_DATA, bounds.data_bytes},
                 {RLIMIT_STACK, 8 * kMiB},
                 {RLIMIT_FSIZE, jail.root.size_bytes},
                 // Two descriptors for each stub, and the devices'.
                 {RLIMIT_NOFILE, 64 + 2 * bounds.processes},
                 // Timers and queued signals are counted by user, not by jail.
                 {RLIMIT_SIGPENDING, 64},
                 // 1, not 0: a host that pipes core files to a program does so in spite of 0.
                 jail::AtMost(RLIMIT_CORE, 1),
                 {RLIMIT_MEMLOCK, 0},
                 {RLIMIT_MSGQUEUE, 0}};
  jail.seccomp = TRY(GuestSeccomp());

  GuestKernel kernel;
  kernel.child = TRY(jail::Spawn(jail));
  std::byte byte;
  base::Received received = TRY(base::ReceiveWithFds(listeners.first.get(), std::span(&byte, 1)));
  if (received.fds.size() != spec.device_ids.size()) {
    return base::Fail(base::ErrorCode::kProtocol, "the guest's jail sent {} sockets instead of {}",
                      received.fds.size(), spec.device_ids.size());
  }
  kernel.listeners = std::move(received.fds);
  kernel.status = std::move(status.first);
  return kernel;
}

std::string DescribeKernelStatus(int status) {
  if (status < 0) return "could not be started: " + base::ErrnoText(-status);
  if (WIFSIGNALED(status)) {
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status),
                       ::strsignal(WTERMSIG(status)));
  }
  return fmt::format("ended with code {}", WEXITSTATUS(status));
}

}  // namespace msb::sandbox
