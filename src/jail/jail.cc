// Spawn: parent and child take turns over one socket pair.
//
//   parent                          child (clone3 into all namespaces)
//   writes the id maps
//   sends one byte          ─────>  takes the identity, empties the root, populates it, drops
//                                   everything, executes
//   reads until end of file <─────  nothing (the socket closes on execution), or an Error's text
#include "src/jail/jail.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "src/base/affinity.h"
#include "src/base/sys.h"
#include "src/jail/child.h"
#include "src/jail/seccomp.h"

namespace msb::jail {
namespace {

using base::UniqueFd;

void ResetSignals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Returns only on failure.
base::Status RunChild(const JailSpec& spec, int& parent_socket, int null_fd) {
  char go;
  if (::recv(parent_socket, &go, 1, 0) != 1) {
    return base::Fail(base::ErrorCode::kClosed, "the parent is gone");
  }
  ResetSignals();
  ::setsid();
  ::umask(0077);
  TRY(BecomeInsideId());
  TRY(DieWithParent(parent_socket));
  if (::sethostname(spec.name.data(), spec.name.size()) < 0) {
    return base::FailErrno("cannot set the host name");
  }
  TRY(EnterEmptyRoot(spec.root));
  if (spec.root.populate) TRY(spec.root.populate());
  TRY(SealRoot(spec.root));

  std::vector<FdGrant> grants = spec.fds;
  for (int standard = 0; standard <= 2; ++standard) {
    const bool granted = std::any_of(grants.begin(), grants.end(),
                                     [&](const FdGrant& grant) { return grant.at == standard; });
    if (!granted) grants.push_back({null_fd, standard});
  }
  int executable = spec.executable_fd;
  const std::array<int*, 2> keep = {&executable, &parent_socket};
  TRY(ArrangeDescriptors(grants, keep));

  if (spec.fixed_address_layout && ::personality(ADDR_NO_RANDOMIZE) < 0) {
    return base::FailErrno("cannot fix the address layout");
  }
  TRY(SetLimits(spec.limits));
  if (spec.cpu) (void)base::SetAllowedCpus(0, {*spec.cpu});
  TRY(DropPrivileges());
  std::vector<char*> argv = Pointers(spec.argv);
  std::vector<char*> envp = Pointers(spec.env);
  if (!spec.seccomp.empty()) TRY(InstallSeccomp(spec.seccomp));
  ::syscall(SYS_execveat, executable, "", argv.data(), envp.data(), AT_EMPTY_PATH);
  return base::FailErrno("cannot execute");
}

base::Status Await(const JailSpec& spec, Child& child, UniqueFd socket) {
  base::Status mapped = WriteIdMaps(child.pid, spec.host_uid, spec.host_gid);
  if (mapped) mapped = base::WriteFull(socket.get(), "g");
  std::string failure;
  if (mapped) {
    failure = TRY(base::ReadToEnd(socket.get(), 4096));
    if (failure.empty()) return {};
  }
  socket.Reset();
  (void)base::PidFdSignal(child.pid_fd.get(), SIGKILL);
  (void)base::WaitPidFd(child.pid_fd.get());
  TRY(std::move(mapped));
  return base::Fail(base::ErrorCode::kSystem, "{}", failure);
}

}  // namespace

base::Result<Child> Spawn(const JailSpec& spec) {
  base::Pair sockets = TRY(base::MakeSocketPair(base::SocketType::kStream));
  const UniqueFd null_fd = TRY(base::OpenFile("/dev/null", O_RDWR));
  Child child = TRY(CloneIntoNamespaces());
  if (child.pid == 0) {
    sockets.first.Reset();
    int socket = sockets.second.get();
    const base::Status failed = RunChild(spec, socket, null_fd.get());
    (void)base::WriteFull(socket, failed.error().message());
    ::_exit(127);
  }
  sockets.second.Reset();
  TRY(Await(spec, child, std::move(sockets.first)).WithContext("jail of " + spec.name));
  return child;
}

}  // namespace msb::jail
