#include "src/vmm/seccomp_policy.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <vector>

namespace msb::vmm {
namespace {

constexpr uint64_t kAll = ~uint64_t{0};
constexpr uint64_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

}  // namespace

std::span<const jail::Allowed> SeccompPolicy() {
  // A function's static: the list has vectors in it, and is wanted once.
  static const std::vector<jail::Allowed> kPolicy = {
      // The event loop.
      {SYS_epoll_wait, "waits for events"},
      {SYS_epoll_ctl, "watches new streams, the front ends' sockets and kick descriptors"},
      {SYS_timerfd_settime, "arms the timers made at start-up"},
      {SYS_read, "takes the expirations of timers and the end of a flush"},
      {SYS_clock_gettime, "deadlines, where the vDSO cannot answer"},
      {SYS_restart_syscall, "goes on after SIGSTOP"},
      // Guests' front ends (vhost-user).
      {SYS_accept4, "accepts each device's one front end"},
      {SYS_fstat, "checks the guest's memory file and interrupt sockets"},
      {SYS_newfstatat, "the C library's fstat", {{3, kAll, AT_EMPTY_PATH}}},
      {SYS_fstatfs, "checks that the guest's memory is a tmpfs file"},
      // Streams, control messages.
      {SYS_recvmsg, "streams, vhost-user messages, the monitor's requests"},
      {SYS_sendmsg, "streams"},
      {SYS_sendto, "interrupts, backlogs of streams, replies, events"},
      {SYS_shutdown, "half-closes a stream"},
      {SYS_close, "streams that end, surplus descriptors"},
      // Disks.
      {SYS_preadv, "reads disks into guest memory"},
      {SYS_pwritev, "writes guest memory to disks"},
      {SYS_fallocate, "punches holes in writable disks, and nothing else", {{1, kAll, kPunch}}},
      {SYS_fdatasync, "flushes writable disks"},
      {SYS_write, "wakes the flushing thread; log lines"},
      // Memory.
      {SYS_mmap, "guest memory and the allocator, never executable", {{2, PROT_EXEC, 0}}},
      {SYS_munmap, "the allocator; guest memory at the end"},
      {SYS_mremap, "the allocator"},
      {SYS_madvise, "the allocator; keeps guest memory out of core files"},
      {SYS_brk, "the allocator"},
      {SYS_futex, "joins the flushing thread; the allocator's lock"},
      // The end.
      {SYS_rt_sigreturn, "returns from the SIGBUS handler for a crash that is ours"},
      {SYS_rt_sigaction, "lets such a crash be an ordinary one", {{0, kAll, 7 /* SIGBUS */}}},
      {SYS_rseq, "the flushing thread's first step, which may come late"},
      {SYS_set_robust_list, "its second"},
      {SYS_rt_sigprocmask, "a thread starts and exits with signals blocked"},
      {SYS_exit, "the flushing thread ends"},
      {SYS_exit_group, "the process ends"},
  };
  return kPolicy;
}

}  // namespace msb::vmm
