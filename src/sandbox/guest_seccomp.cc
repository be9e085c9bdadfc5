#include "src/sandbox/guest_seccomp.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <array>

#include "src/jail/seccomp.h"

namespace msb::sandbox {
namespace {

using jail::Allowed;

// The whole of the argument, which the kernel reads as 32 bits.
constexpr uint64_t kInt = 0xffffffff;

jail::ArgumentRule Is(unsigned index, int value) {
  return {index, kInt, static_cast<uint32_t>(value)};
}

// Only these bits may be set.
jail::ArgumentRule Within(unsigned index, uint64_t bits) { return {index, kInt & ~bits, 0}; }

std::vector<Allowed> Memory() {
  return {
      // Neither shared and anonymous at once, nor a stack that grows: such memory counts against no
      // limit of the jail. The one exception are two pages with which the kernel tries out a stub
      // when it starts.
      {SCMP_SYS(mmap),
       "guest RAM is a file, shared with each stub",
       {{3, MAP_ANONYMOUS | MAP_GROWSDOWN, 0}}},
      {SCMP_SYS(mmap), "private memory of kernel and stubs", {{3, MAP_SHARED | MAP_GROWSDOWN, 0}}},
      {SCMP_SYS(mmap), "the trial stub", {{1, ~uint64_t{0}, 2 * 4096}, {3, MAP_GROWSDOWN, 0}}},
      {SCMP_SYS(munmap), "guest pages leave a stub"},
      {SCMP_SYS(mprotect), "libc start-up; guest pages change their rights"},
      {SCMP_SYS(brk), "libc's allocator"},
      {SCMP_SYS(lseek), "writes the last byte of the memory file"},
  };
}

std::vector<Allowed> Processes() {
  constexpr uint64_t kCloneFlags =
      CLONE_VM | CLONE_VFORK | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | 0xff;
  return {
      {SCMP_SYS(clone),
       "a stub for each guest address space; no threads, no namespaces",
       {Within(0, kCloneFlags)}},
      {SCMP_SYS(execveat), "the kernel and its stubs are executed by descriptor"},
      {SCMP_SYS(wait4), "stubs that have ended"},
      {SCMP_SYS(exit), "end of a stub"},
      {SCMP_SYS(exit_group), "end of the kernel"},
      {SCMP_SYS(kill), "interrupts and ends stubs; reaches this pid namespace only"},
      {SCMP_SYS(tgkill), "the kernel's abort on panic"},
      {SCMP_SYS(getpid), "signals to itself"},
      {SCMP_SYS(gettid), "signals to itself"},
      {SCMP_SYS(setsid), "start-up"},
      {SCMP_SYS(prctl), "a stub dies with the kernel", {Is(0, PR_SET_PDEATHSIG)}},
      {SCMP_SYS(prctl), "process names", {Is(0, PR_SET_NAME)}},
      {SCMP_SYS(prctl), "before the stub's own filter", {Is(0, PR_SET_NO_NEW_PRIVS)}},
      {SCMP_SYS(seccomp),
       "the stub catches the guest's system calls by a filter",
       {Is(0, SECCOMP_SET_MODE_FILTER), Within(1, SECCOMP_FILTER_FLAG_TSYNC)}},
      {SCMP_SYS(arch_prctl), "thread pointers of guest processes"},
      {SCMP_SYS(set_tid_address), "libc start-up"},
      {SCMP_SYS(set_robust_list), "libc start-up"},
      {SCMP_SYS(rseq), "libc start-up"},
      {SCMP_SYS(prlimit64), "libc and the kernel read their limits", {{2, ~uint64_t{0}, 0}}},
      {SCMP_SYS(personality),
       "asks whether the address layout is fixed",
       {Is(0, static_cast<int>(0xffffffff))}},
      {SCMP_SYS(personality), "and would fix it", {Is(0, ADDR_NO_RANDOMIZE)}},
      {SCMP_SYS(futex), "the kernel and a stub take turns"},
  };
}

std::vector<Allowed> SignalsAndTime() {
  return {
      {SCMP_SYS(rt_sigaction), "interrupts and faults are signals"},
      {SCMP_SYS(rt_sigprocmask), "interrupts and faults are signals"},
      {SCMP_SYS(rt_sigreturn), "interrupts and faults are signals"},
      {SCMP_SYS(sigaltstack), "interrupts and faults are signals"},
      {SCMP_SYS(signalfd4), "idle"},
      {SCMP_SYS(poll), "idle"},
      {SCMP_SYS(restart_syscall), "a call that a stop interrupted"},
      {SCMP_SYS(timer_create), "the kernel's clock event"},
      {SCMP_SYS(timer_settime), "the kernel's clock event"},
      {SCMP_SYS(clock_gettime), "time, where the vDSO does not serve it"},
      {SCMP_SYS(clock_nanosleep), "the delays of a shutdown"},
      {SCMP_SYS(getrandom), "libc start-up; the guest's first entropy"},
      {SCMP_SYS(uname), "libc start-up"},
  };
}

std::vector<Allowed> Descriptors() {
  const char* devices = "vhost-user: connection, ring descriptors, kicks";
  const char* start =
      "the initramfs, the memory file, the working directory: all that is in the jail";
  // Not MSG_OOB: too little used on such sockets to be trusted.
  constexpr uint64_t kFlags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC | MSG_WAITALL;
  std::vector<Allowed> list = {
      {SCMP_SYS(read), devices},
      {SCMP_SYS(write), devices},
      {SCMP_SYS(socket), devices, {Is(0, AF_UNIX)}},
      {SCMP_SYS(connect), devices},
      {SCMP_SYS(socketpair), "a stub receives its descriptors through it", {Is(0, AF_UNIX)}},
      {SCMP_SYS(sendmsg), devices, {Within(2, kFlags)}},
      {SCMP_SYS(recvmsg), devices, {Within(2, kFlags)}},
      {SCMP_SYS(eventfd2), devices},
      {SCMP_SYS(epoll_create), "the kernel's interrupt sources"},
      {SCMP_SYS(epoll_ctl), "the kernel's interrupt sources"},
      {SCMP_SYS(epoll_wait), "the kernel's interrupt sources"},
      {SCMP_SYS(dup2), "a stub's descriptors"},
      {SCMP_SYS(close), devices},
      {SCMP_SYS(close_range), "a stub keeps what it needs"},
      {SCMP_SYS(ioctl), "asks whether its standard descriptors are terminals", {Is(1, TCGETS)}},
      {SCMP_SYS(open), start},
      {SCMP_SYS(openat), start},
      {SCMP_SYS(access), start},
      {SCMP_SYS(newfstatat), start},
      {SCMP_SYS(statfs), start},
      {SCMP_SYS(getdents64), start},
      {SCMP_SYS(readlink), start},
      {SCMP_SYS(mkdir), start},
      {SCMP_SYS(rmdir), start},
      {SCMP_SYS(unlink), start},
      {SCMP_SYS(fchmod), "the executable of the stubs, a file in the jail"},
  };
  // Neither locks nor leases: jail A's descriptors must keep theirs if they got here.
  for (const int command :
       {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_SETOWN, F_SETSIG}) {
    list.push_back({SCMP_SYS(fcntl), devices, {Is(1, command)}});
  }
  return list;
}

}  // namespace

base::Result<std::vector<sock_filter>> GuestSeccomp() {
  std::vector<Allowed> list;
  for (const auto& part : {Memory(), Processes(), SignalsAndTime(), Descriptors()}) {
    list.insert(list.end(), part.begin(), part.end());
  }
  // ERRNO, never KILL: a guest program's own calls meet this filter too, and the stub's TRAP must
  // win.
  return jail::CompileSeccomp(list, jail::Otherwise::kErrno);
}

}  // namespace msb::sandbox
