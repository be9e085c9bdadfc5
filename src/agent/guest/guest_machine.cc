#include "src/agent/guest/guest_machine.h"

#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "src/agent/guest/mount.h"
#include "src/agent/guest/root.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr const char* kCgroups = "/cgroup";

base::Status WriteTo(int dir_fd, const std::string& name, std::string_view text) {
  const base::UniqueFd fd = TRY(base::OpenFileAt(dir_fd, name, O_WRONLY));
  return base::WriteFull(fd.get(), text).WithContext(name);
}

base::Status AddEntropy(std::string_view entropy) {
  constexpr size_t kMost = 512;
  if (entropy.size() > kMost) {
    return base::Fail(base::ErrorCode::kLimit, "configure.entropy: at most {} bytes", kMost);
  }
  alignas(rand_pool_info) std::array<char, sizeof(rand_pool_info) + kMost> buffer = {};
  auto* info = reinterpret_cast<rand_pool_info*>(buffer.data());
  info->entropy_count = static_cast<int>(entropy.size() * 8);
  info->buf_size = static_cast<int>(entropy.size());
  std::memcpy(info->buf, entropy.data(), entropy.size());
  const base::UniqueFd random = TRY(base::OpenFile("/dev/urandom", O_WRONLY));
  if (::ioctl(random.get(), RNDADDENTROPY, info) < 0) return base::FailErrno("cannot add entropy");
  return {};
}

base::Status RaiseLoopback() {
  const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return base::FailErrno("cannot create a socket");
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) return base::FailErrno("cannot raise lo");
  return {};
}

base::Status SetClock(int64_t clock_ns) {
  const timespec now = {clock_ns / 1'000'000'000, clock_ns % 1'000'000'000};
  if (::clock_settime(CLOCK_REALTIME, &now) < 0) return base::FailErrno("cannot set the clock");
  return {};
}

// The number after `key` and a blank in a flat-keyed cgroup file.
uint64_t ReadKey(int fd, std::string_view key) {
  std::array<char, 512> buffer;
  const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), 0);
  if (got <= 0) return 0;
  std::string_view text(buffer.data(), static_cast<size_t>(got));
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ') {
      uint64_t value = 0;
      std::from_chars(line.data() + key.size() + 1, line.data() + line.size(), value);
      return value;
    }
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return 0;
}

}  // namespace

base::Status GuestMachine::Prepare() {
  ::umask(022);
  constexpr rlim_t kFiles = 1048576;
  const rlimit files = {kFiles, kFiles};
  if (::setrlimit(RLIMIT_NOFILE, &files) < 0) return base::FailErrno("cannot set limits");
  ::mkdir("/dev", 0755);
  return MountAt("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
}

base::Status GuestMachine::Configure(const agent::Configure& configure) {
  durable_ = configure.upper && !configure.upper->temporary;
  TRY(SetIdentity(configure));
  TRY(MakeCgroup().WithContext("cgroup"));
  BuiltRoot built = TRY(BuildRoot(configure));
  upper_ = std::move(built.upper);
  return {};
}

base::Status GuestMachine::SetIdentity(const agent::Configure& configure) {
  if (configure.clock_ns > 0) TRY(SetClock(configure.clock_ns));
  if (!configure.entropy.empty()) TRY(AddEntropy(configure.entropy.data));
  const std::string& name = configure.hostname.data;
  if (::sethostname(name.data(), name.size()) < 0) {
    return base::FailErrno("cannot set the host name {}", name);
  }
  return RaiseLoopback();
}

// /workload is the root of the cgroup namespace that the workload sees; its processes live one
// below, in /workload/main, so that controllers can be enabled beside them for containers inside.
// We stay in the real root.
base::Status GuestMachine::MakeCgroup() {
  if (::mkdir(kCgroups, 0755) < 0 && errno != EEXIST) return base::FailErrno("cannot create it");
  TRY(MountAt("cgroup2", kCgroups, "cgroup2", 0));
  const base::UniqueFd top = TRY(base::OpenFile(kCgroups, O_RDONLY | O_DIRECTORY));
  if (::mkdirat(top.get(), "workload", 0755) < 0) return base::FailErrno("cannot create it");
  workload_ = TRY(base::OpenFileAt(top.get(), "workload", O_RDONLY | O_DIRECTORY));
  TRY(WriteTo(workload_.get(), "cgroup.procs", "0"));
  if (::unshare(CLONE_NEWCGROUP) < 0) return base::FailErrno("cannot make a namespace");
  TRY(WriteTo(top.get(), "cgroup.procs", "0"));
  for (const int directory : {top.get(), workload_.get()}) {
    if (WriteTo(directory, "cgroup.subtree_control", "+memory +pids +cpu")) continue;
    for (const char* controller : {"+memory", "+pids", "+cpu"}) {  // what there is of them
      (void)WriteTo(directory, "cgroup.subtree_control", controller);
    }
  }
  if (::mkdirat(workload_.get(), "main", 0755) < 0) return base::FailErrno("cannot create it");
  cgroup_ = TRY(base::OpenFileAt(workload_.get(), "main", O_RDONLY | O_DIRECTORY));
  cgroup_events_ = TRY(base::OpenFileAt(workload_.get(), "cgroup.events", O_RDONLY));
  if (auto events = base::OpenFileAt(workload_.get(), "memory.events", O_RDONLY)) {
    memory_events_ = *std::move(events);
  }
  return {};
}

uint64_t GuestMachine::OutOfMemoryKills() {
  return memory_events_ ? ReadKey(memory_events_.get(), "oom_kill") : 0;
}

void GuestMachine::KillWorkload(std::function<void()> gone) {
  gone_ = std::move(gone);
  if (!cgroup_events_) {  // never configured: there is no workload
    loop_.Defer([this] { gone_(); });
    return;
  }
  (void)WriteTo(workload_.get(), "cgroup.kill", "1");
  const auto check = [this](uint32_t) {
    if (gone_ && ReadKey(cgroup_events_.get(), "populated") == 0) std::exchange(gone_, {})();
  };
  if (auto watch = loop_.Add(cgroup_events_.get(), EPOLLPRI, check)) {
    events_watch_ = *std::move(watch);
  }
  loop_.Defer([check] { check(0); });  // nothing may have been there
}

base::Status GuestMachine::SettleDisks() {
  if (!durable_ || !upper_) return {};
  if (::syncfs(upper_.get()) < 0) return base::FailErrno("cannot flush the disk");
  // The data is safe now. Read-only, nothing can be written after the answer; a file that is still
  // held open somewhere refuses it, and the journal then replays at the next start.
  (void)MakeReadOnly(upper_.get());
  return {};
}

void GuestMachine::PowerOff() { ::reboot(RB_POWER_OFF); }

}  // namespace msb::agent
