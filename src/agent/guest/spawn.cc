#include "src/agent/guest/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "src/base/unique_fd.h"

namespace msb::agent {
namespace {

// What the child does, in plain values: it shares our memory and must not allocate.
struct ChildWork {
  const char* program;
  char* const* argv;
  char* const* envp;
  const int* fds;
  int fd_count;
  int cwd_fd;
  bool terminal;
  uid_t uid;
  gid_t gid;
  const gid_t* groups;
  size_t group_count;
  // What failed, written by the child, read by the parent once it runs again.
  const char* volatile failed_step;
  volatile int failed_errno;
};

constexpr size_t kChildStackBytes = 32 * 1024;

// Raw calls where glibc would synchronize threads or keep books about the process.
__attribute__((no_sanitize("address", "undefined"))) void GoOn(ChildWork& work) {
  const auto fail = [&work](const char* step) {
    work.failed_errno = errno;
    work.failed_step = step;
  };
  const uint64_t no_signals = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, sizeof no_signals);
  ::setsid();
  for (int i = 0; i < work.fd_count; ++i) {
    if (::dup2(work.fds[i], i) < 0) return fail("cannot pass a descriptor");
  }
  if (work.terminal && ::ioctl(0, TIOCSCTTY, 0) < 0) return fail("cannot set the terminal");
  if (::fchdir(work.cwd_fd) < 0) return fail("cannot enter the working directory");
  // Root's own process has what it needs already.
  if (work.uid != 0 || work.gid != 0 || work.group_count != 0) {
    const bool root = ::geteuid() == 0;
    if (root && ::syscall(SYS_setgroups, work.group_count, work.groups) < 0) {
      return fail("cannot set the supplementary groups");
    }
    if (::syscall(SYS_setresgid, work.gid, work.gid, work.gid) < 0) {
      return fail("cannot set the group");
    }
    if (::syscall(SYS_setresuid, work.uid, work.uid, work.uid) < 0) {
      return fail("cannot set the user");
    }
  }
  ::execve(work.program, work.argv, work.envp);
  fail("");
}

__attribute__((no_sanitize("address", "undefined"))) void RunChild(void* argument) {
  GoOn(*static_cast<ChildWork*>(argument));
}

// clone3 into a function on a stack of its own: what the child does to its stack must not be seen
// by the parent, which goes on from here. Returns the pid or -errno.
long CloneInto(clone_args& args, void (*run)(void*), void* argument) {
#if !defined(__x86_64__)
#error "clone3 is written for x86-64"
#endif
  register void (*run_register)(void*) asm("r8") = run;
  register void* argument_register asm("r9") = argument;
  long result;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r9, %%rdi\n\t"
      "call *%%r8\n\t"
      "mov $127, %%edi\n\t"
      "mov %[exit], %%eax\n\t"
      "syscall\n\t"
      "1:\n\t"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(&args), "S"(sizeof args), "r"(run_register),
        "r"(argument_register), [exit] "i"(SYS_exit)
      : "rcx", "r11", "memory", "cc");
  return result;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Sources below the targets would be overwritten while they are still needed.
base::Status MoveUp(std::vector<int>& fds, std::vector<base::UniqueFd>& moved) {
  for (int& fd : fds) {
    CHECK(fd >= 3);
    if (fds.size() <= 3 || fd >= static_cast<int>(fds.size())) continue;
    moved.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 16));
    if (!moved.back()) return base::FailErrno("cannot duplicate a descriptor");
    fd = moved.back().get();
  }
  return {};
}

base::Error ExecFailed(const ChildWork& work) {
  const int code = work.failed_errno;
  std::string why = base::ErrnoText(code);
  if (code == ENOENT) why = "its interpreter does not exist";
  if (code == ENOEXEC) why = "not a program for this machine, and without a #! line";
  return base::Error(base::CodeOfErrno(code), fmt::format("{}: {}", work.program, why), code);
}

}  // namespace

base::Result<pid_t> Spawn(const SpawnPlan& plan) {
  std::vector<int> fds = plan.fds;
  std::vector<base::UniqueFd> moved;
  TRY(MoveUp(fds, moved));
  const std::vector<char*> argv = Pointers(plan.argv);
  const std::vector<char*> envp = Pointers(plan.env);
  ChildWork work = {.program = plan.program.c_str(),
                    .argv = argv.data(),
                    .envp = envp.data(),
                    .fds = fds.data(),
                    .fd_count = static_cast<int>(fds.size()),
                    .cwd_fd = plan.cwd_fd,
                    .terminal = plan.terminal,
                    .uid = plan.identity.uid,
                    .gid = plan.identity.gid,
                    .groups = plan.identity.groups.data(),
                    .group_count = plan.identity.groups.size(),
                    .failed_step = nullptr,
                    .failed_errno = 0};

  alignas(16) static std::array<char, kChildStackBytes> stack;
  clone_args args = {};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_CLEAR_SIGHAND;
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uintptr_t>(stack.data());
  args.stack_size = stack.size();
  if (plan.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(plan.cgroup_fd);
  }
  // A handler of ours must not run in the child, on our memory.
  uint64_t all_signals = ~uint64_t{0};
  uint64_t old_signals = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all_signals, &old_signals, sizeof all_signals);
  const long pid = CloneInto(args, RunChild, &work);
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old_signals, nullptr, sizeof old_signals);
  if (pid < 0) {
    errno = static_cast<int>(-pid);
    return base::FailErrno("cannot create a process");
  }
  if (work.failed_step != nullptr) {
    while (::waitpid(static_cast<pid_t>(pid), nullptr, 0) < 0 && errno == EINTR) {
    }
    if (*work.failed_step == '\0') return ExecFailed(work);
    const int code = work.failed_errno;
    return base::Error(base::ErrorCode::kSystem,
                       fmt::format("{}: {}", work.failed_step, base::ErrnoText(code)), code);
  }
  return static_cast<pid_t>(pid);
}

}  // namespace msb::agent
