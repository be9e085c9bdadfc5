#include "src/agent/guest/spawn.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "src/base/sys.h"

namespace msb::agent {
namespace {

#if !defined(__x86_64__)
#error "clone3 is written for x86-64"
#endif
#define IN_THE_CHILD __attribute__((no_sanitize("address", "undefined")))

constexpr size_t kChildStackBytes = 16 * 1024;

// What the child does, in plain values: it shares our memory and must not allocate.
struct Work {
  const char* program = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const int* fds = nullptr;
  int fd_count = 0;
  int end_fd = -1;
  int cwd_fd = -1;
  const char* cwd = nullptr;
  bool terminal = false;
  uid_t uid = 0;
  gid_t gid = 0;
  const gid_t* groups = nullptr;
  size_t group_count = 0;
  // What failed: for us, once the child uses our memory no more.
  const char* volatile failed_step = nullptr;
  volatile long failed_errno = 0;
};

// A system call without libc, whose errno is ours, too. Returns -errno.
IN_THE_CHILD inline long Call(long number, long a = 0, long b = 0, long c = 0, long d = 0) {
  register long d_register asm("r10") = d;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d_register)
               : "rcx", "r11", "memory");
  return result;
}

IN_THE_CHILD inline long Address(const volatile void* pointer) {
  return static_cast<long>(reinterpret_cast<uintptr_t>(pointer));
}

IN_THE_CHILD bool Failed(Work& work, const char* step, long result) {
  if (result >= 0) return false;
  work.failed_errno = -result;
  work.failed_step = step;
  return true;
}

IN_THE_CHILD void GoOn(Work& work) {
  const uint64_t no_signals = 0;
  Call(SYS_rt_sigprocmask, SIG_SETMASK, Address(&no_signals), 0, sizeof no_signals);
  Call(SYS_setsid);
  for (int i = 0; i < work.fd_count; ++i) {
    if (Failed(work, "cannot pass a descriptor", Call(SYS_dup2, work.fds[i], i))) return;
  }
  if (work.terminal && Failed(work, "cannot set the terminal", Call(SYS_ioctl, 0, TIOCSCTTY, 0))) {
    return;
  }
  if (Failed(
          work, "cannot enter the working directory",
          work.cwd_fd >= 0 ? Call(SYS_fchdir, work.cwd_fd) : Call(SYS_chdir, Address(work.cwd)))) {
    return;
  }
  // What is ours must not be held open by one that is stuck.
  if (Failed(work, "cannot close descriptors",
             Call(SYS_close_range, work.fd_count, work.end_fd - 1)) ||
      Failed(work, "cannot close descriptors", Call(SYS_close_range, work.end_fd + 1, ~0u))) {
    return;
  }
  // Root's own process has what it needs already.
  if (work.uid != 0 || work.gid != 0 || work.group_count != 0) {
    if (Call(SYS_geteuid) == 0 &&
        Failed(work, "cannot set the supplementary groups",
               Call(SYS_setgroups, static_cast<long>(work.group_count), Address(work.groups)))) {
      return;
    }
    if (Failed(work, "cannot set the group", Call(SYS_setresgid, work.gid, work.gid, work.gid)) ||
        Failed(work, "cannot set the user", Call(SYS_setresuid, work.uid, work.uid, work.uid))) {
      return;
    }
  }
  Failed(work, "", Call(SYS_execve, Address(work.program), Address(work.argv), Address(work.envp)));
}

IN_THE_CHILD void RunChild(void* work) { GoOn(*static_cast<Work*>(work)); }

// clone3 into a function on a stack of its own: what the child does to its stack must not be seen
// by the parent, which goes on from here. Returns the pid or -errno.
long CloneInto(clone_args& args, void (*run)(void*), void* argument) {
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

// A descriptor that is among the targets would be overwritten while it is still needed.
base::Status MoveUp(int& fd, size_t targets, std::vector<base::UniqueFd>& moved) {
  CHECK(fd >= 3);
  if (fd >= static_cast<int>(targets)) return {};
  moved.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 16));
  if (!moved.back()) return base::FailErrno("cannot duplicate a descriptor");
  fd = moved.back().get();
  return {};
}

}  // namespace

struct Spawn::Child {
  explicit Child(SpawnPlan given)
      : plan(std::move(given)), argv(Pointers(plan.argv)), envp(Pointers(plan.env)) {
    work.program = plan.program.c_str();
    work.argv = argv.data();
    work.envp = envp.data();
    work.fds = plan.fds.data();
    work.fd_count = static_cast<int>(plan.fds.size());
    work.cwd_fd = plan.cwd_fd;
    work.cwd = plan.cwd.c_str();
    work.terminal = plan.terminal;
    work.uid = plan.identity.uid;
    work.gid = plan.identity.gid;
    work.groups = plan.identity.groups.data();
    work.group_count = plan.identity.groups.size();
  }

  SpawnPlan plan;
  const std::vector<char*> argv;
  const std::vector<char*> envp;
  Work work;
  alignas(16) std::array<char, kChildStackBytes> stack;  // not to be touched needlessly
};

Spawn::Spawn(SpawnPlan plan) : child_(new Child(std::move(plan))) {}

base::Result<std::unique_ptr<Spawn>> Spawn::Create(SpawnPlan plan) {
  std::unique_ptr<Spawn> spawn(new Spawn(std::move(plan)));
  base::Pair pipe = TRY(base::MakePipe());
  spawn->ours_ = std::move(pipe.first);
  spawn->theirs_ = std::move(pipe.second);
  return spawn;
}

base::Result<pid_t> Spawn::Begin() {
  Child& child = *child_;
  const base::UniqueFd end = std::move(theirs_);
  child.work.end_fd = end.get();  // needed for being open
  const size_t targets = child.plan.fds.size();
  std::vector<base::UniqueFd> moved;
  for (int& fd : child.plan.fds) TRY(MoveUp(fd, targets, moved));
  if (child.work.cwd_fd >= 0) TRY(MoveUp(child.work.cwd_fd, targets, moved));
  TRY(MoveUp(child.work.end_fd, targets + 1, moved));
  clone_args args = {};
  args.flags = CLONE_VM | CLONE_CLEAR_SIGHAND;
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uintptr_t>(child.stack.data());
  args.stack_size = child.stack.size();
  if (child.plan.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(child.plan.cgroup_fd);
  }
  // A handler of ours must not run in the child, on our memory.
  uint64_t all_signals = ~uint64_t{0};
  uint64_t old_signals = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all_signals, &old_signals, sizeof all_signals);
  const long pid = CloneInto(args, RunChild, &child.work);
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old_signals, nullptr, sizeof old_signals);
  if (pid < 0) {
    errno = static_cast<int>(-pid);
    return base::FailErrno("cannot create a process");
  }
  pid_ = static_cast<pid_t>(pid);
  return pid_;
}

// It closes its end of the pipe after it has left our memory, by execve as by its end.
Spawn::~Spawn() {
  if (pid_ == 0) return;
  constexpr int kPatience_ms = 1000;
  pollfd end = {ours_.get(), 0, 0};
  if (::poll(&end, 1, 0) == 1) return;
  ::kill(pid_, SIGKILL);
  if (::poll(&end, 1, kPatience_ms) != 1) (void)child_.release();  // the kernel does not let go
}

base::Status Spawn::Result() const {
  const Work& work = child_->work;
  if (work.failed_step == nullptr) return {};
  const int code = static_cast<int>(work.failed_errno);
  std::string why = base::ErrnoText(code);
  if (*work.failed_step != '\0') {
    return base::Error(base::ErrorCode::kSystem, fmt::format("{}: {}", work.failed_step, why),
                       code);
  }
  if (code == ENOENT) why = "its interpreter does not exist";
  if (code == ENOEXEC) why = "not a program for this machine, and without a #! line";
  return base::Error(base::CodeOfErrno(code), fmt::format("{}: {}", work.program, why), code);
}

}  // namespace msb::agent
