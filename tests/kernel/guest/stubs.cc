// The host process of a guest process ("stub"), and what happens when it is reused, tampered with
// or dies.
//
// A guest program can make its stub do the few system calls that the kernel needs it to do: it
// jumps to a `syscall` instruction in the stub's own page. These tests do that on purpose. Closing
// the stub's descriptor 0, which nothing needs once the kernel keeps the memory open in it, marks
// the host process without disturbing it: a later program that finds the mark has been given the
// same one.

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "guest.h"
#include "programs.h"

namespace guest {
namespace {

// The stub's code is the third page from the top of the host's address space.
constexpr uintptr_t kStubCode = 0x7fffffffc000;
constexpr int kUser = 1000;

constexpr char kSelf[] = "/init";
constexpr char kSetUserId[] = "/tmp/set-user-id";

enum ProgramStatus { kFresh = 0, kMarked = 10, kBroken = 20 };

sigjmp_buf stub_return;
volatile long stub_result;

void OnStubFault(int, siginfo_t*, void* context) {
  stub_result = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RAX];
  siglongjmp(stub_return, 1);
}

// Does a system call in the stub. What follows the `syscall` instruction there works on memory that
// registers point to, which is nowhere: it faults, and the handler takes the result and jumps back.
long CallAt(uintptr_t instruction, long number, long first, long second, long third) {
  if (sigsetjmp(stub_return, 1) == 0) {
    asm volatile(
        "mov $0x10, %%ebx\n"
        "mov %%rbx, %%r8\n"
        "mov %%rbx, %%r9\n"
        "mov %%rbx, %%r10\n"
        "mov %%rbx, %%r12\n"
        "mov %%rbx, %%r13\n"
        "mov %%rbx, %%r14\n"
        "mov %%rbx, %%r15\n"
        "mov %%rbx, %%rbp\n"
        "mov %%rbx, %%rsp\n"
        "jmp *%%rcx\n"
        :
        : "c"(instruction), "a"(number), "D"(first), "S"(second), "d"(third)
        : "memory");
    __builtin_unreachable();
  }
  return stub_result;
}

void UseStubFaultHandler() {
  static char stack[16384];
  const stack_t alternative = {stack, 0, sizeof(stack)};
  CHECK(sigaltstack(&alternative, nullptr) == 0);
  struct sigaction action = {};
  action.sa_sigaction = OnStubFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGTRAP}) {
    CHECK(sigaction(signal, &action, nullptr) == 0);
  }
}

// The address of a `syscall` instruction in the stub that gives its result back.
uintptr_t FindStubSyscall() {
  const auto* code = reinterpret_cast<const volatile unsigned char*>(kStubCode);
  for (size_t offset = 0; offset + 1 < kPage; offset++) {
    if (code[offset] != 0x0f || code[offset + 1] != 0x05) continue;
    if (CallAt(kStubCode + offset, SYS_close, 1000, 0, 0) == -EBADF) return kStubCode + offset;
  }
  CHECK(!"there is a usable syscall instruction in the stub");
  return 0;
}

long StubSyscall(long number, long first = 0, long second = 0, long third = 0) {
  static uintptr_t instruction = 0;
  if (instruction == 0) {
    UseStubFaultHandler();
    instruction = FindStubSyscall();
  }
  return CallAt(instruction, number, first, second, third);
}

bool StubIsMarked() {
  msghdr message = {};
  return StubSyscall(SYS_recvmsg, 0, reinterpret_cast<long>(&message), MSG_DONTWAIT) == -EBADF;
}
void MarkStub() {
  const long result = StubSyscall(SYS_close, 0);
  CHECK(result == 0 || result == -EBADF);
}

// Marks several host processes, because a fork and an exec take one each.
void MarkStubs(int count) {
  MarkStub();
  if (count > 1) CHECK(InChild([&] { MarkStubs(count - 1); }) == 0);
}

// The program's registers must not show what the last owner of its host process left in its own.
int RegistersProgram() {
  unsigned long vector = 0;
  unsigned long thread_base = 0;
  asm volatile("movq %%xmm7, %0\n mov %%fs:0, %1" : "=r"(vector), "=r"(thread_base));
  if (vector == 0x1234567) return kMarked;
  return thread_base != 0 ? kFresh : kBroken;
}

[[noreturn]] void Execute(const char* path, const char* program) {
  execl(path, path, program, nullptr);
  _exit(kBroken);
}

int StatusOf(const char* path, const char* program) {
  const int status = InChild([&] { Execute(path, program); });
  CHECK(WIFEXITED(status));
  return WEXITSTATUS(status);
}

void CopySelfAsSetUserId() {
  const int from = open(kSelf, O_RDONLY);
  const int to = open(kSetUserId, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  CHECK(from >= 0 && to >= 0);
  std::vector<char> buffer(65536);
  ssize_t length = 0;
  while ((length = read(from, buffer.data(), buffer.size())) > 0) {
    CHECK(write(to, buffer.data(), static_cast<size_t>(length)) == length);
  }
  CHECK(length == 0);
  CHECK(fchmod(to, 04755) == 0);
  close(from);
  close(to);
}

void BecomeUser() {
  CHECK(setresgid(kUser, kUser, kUser) == 0 && setresuid(kUser, kUser, kUser) == 0);
}

bool KilledBy(int status, int signal) { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }

// Forks and executes at once, and some memory in between: all of it works.
void CheckThatProcessesWork(int rounds) {
  for (int i = 0; i < rounds; i++) {
    CHECK(InChild([] {}) == 0);
    CHECK(StatusOf(kSelf, "nothing") == kFresh);
  }
  CHECK(InChild(CopyOnWrite) == 0);
}

bool WorksWithin(int attempts) {
  for (int i = 0; i < attempts; i++) {
    const pid_t child = StartChild([] { Execute(kSelf, "nothing"); });
    if (child > 0 && WaitFor(child) == 0) return true;
  }
  return false;
}

[[noreturn]] void DieInStub() {
  // Not one of the calls that the stub's filter permits.
  StubSyscall(SYS_getpid);
  _exit(kBroken);
}

}  // namespace

int RunProgram(int argc, char** argv) {
  const std::string program = argc > 1 ? argv[1] : "";
  if (program == "nothing") return kFresh;
  if (program == "registers") return RegistersProgram();
  if (program == "find-mark") return StubIsMarked() ? kMarked : kFresh;
  if (program == "find-mark-as-root") {
    if (geteuid() != 0) return kBroken;
    return StubIsMarked() ? kMarked : kFresh;
  }
  return kBroken;
}

void FreshRegisters() {
  for (int i = 0; i < 20; i++) {
    CHECK(InChild([] {
            asm volatile("movq %0, %%xmm7" : : "r"(0x1234567L) : "xmm7");
            _exit(0);
          }) == 0);
    CHECK(StatusOf(kSelf, "registers") == kFresh);
  }
}

// A program marks its host process and ends. A program of the same user may be given it; one that
// runs as somebody else may not: that user could have prepared it.
void SetUserIdExec() {
  CopySelfAsSetUserId();
  const bool pooled = Setting("stub_pool_expected", 0) != 0;
  const int status = InChild([&] {
    BecomeUser();
    int reused = 0;
    for (int i = 0; i < 20; i++) {
      CHECK(InChild([] { MarkStubs(4); }) == 0);
      CHECK(StatusOf(kSetUserId, "find-mark-as-root") == kFresh);
      CHECK(InChild([] { MarkStubs(4); }) == 0);
      if (StatusOf(kSelf, "find-mark") == kMarked) reused++;
    }
    // Or the first half has shown nothing.
    CHECK(pooled == (reused > 0));
  });
  CHECK(status == 0);
  CHECK(unlink(kSetUserId) == 0);

  // And what a user leaves behind does not reach root, nor the other way round.
  CHECK(InChild([] {
          BecomeUser();
          CHECK(InChild([] { MarkStubs(4); }) == 0);
        }) == 0);
  CHECK(StatusOf(kSelf, "find-mark") == kFresh);
}

// The host process dies while the guest process runs in it, or cannot map any more: that guest
// process dies, and nothing else.
void StubDeath() {
  for (int i = 0; i < 10; i++) {
    CHECK(KilledBy(InChild(DieInStub), SIGSEGV));
    CheckThatProcessesWork(1);
  }
  // Without a descriptor for the memory, no page can be mapped.
  if (Setting("stub_keep_fd_expected", 0) == 0) return;
  const int status = InChild([] {
    CHECK(StubSyscall(SYS_close, 1) == 0);
    for (char* page = MapPages(1024);; page += kPage) *page = 1;
  });
  CHECK(KilledBy(status, SIGSEGV));
  CheckThatProcessesWork(10);
}

// Parent and child share one host process until the child executes a program. It dies: so do both,
// rather than to wait for each other.
void StubDeathUnderVfork() {
  for (int i = 0; i < 5; i++) {
    const int status = InChild([] {
      StubSyscall(SYS_close, 1000);  // finds the instruction
      if (vfork() == 0) DieInStub();
      _exit(kBroken);
    });
    CHECK(KilledBy(status, SIGSEGV));
    CheckThatProcessesWork(1);
  }
}

// The host kills host processes at random moments, those that wait for reuse among them.
void PooledStubDeath() {
  Ask("@spare-stubs");
  for (int round = 0; round < Setting("rounds", 40); round++) {
    std::vector<pid_t> children;
    for (int i = 0; i < 6; i++) {
      children.push_back(StartChild([] { Execute(kSelf, "nothing"); }));
    }
    Ask("@kill-stubs");
    for (pid_t child : children) {
      if (child < 0) continue;
      const int status = WaitFor(child);
      CHECK(status == 0 || KilledBy(status, SIGSEGV) || KilledBy(status, SIGKILL) ||
            WEXITSTATUS(status) == kBroken);
    }
    // Now all are in the pool. Some may die only when they have been taken from it.
    Ask("@kill-stubs");
    CHECK(WorksWithin(20));
  }
  CheckThatProcessesWork(10);
}

// The host permits one host process no more memory: emptying it does not help, so its guest process
// dies, rather than to fault for ever.
void StarvedStub() {
  Ask("@spare-stubs");
  const int status = InChild([] {
    char* area = MapPages(1024);
    for (size_t page = 0; page < 1024; page++) {
      if (page == 512) Ask("@starve-stubs");
      area[page * kPage] = 1;
    }
  });
  CHECK(KilledBy(status, SIGSEGV));
  CheckThatProcessesWork(5);
}

// The host permits no more processes: fork() says so, and works again when some have ended.
void HostProcessLimit() {
  for (int round = 0; round < 20; round++) {
    std::vector<pid_t> children;
    int go[2];
    CHECK(pipe(go) == 0);
    for (;;) {
      const pid_t child = StartChild([&] {
        char byte = 0;
        close(go[1]);
        CHECK(read(go[0], &byte, 1) == 0);
      });
      if (child < 0) break;
      children.push_back(child);
      CHECK(children.size() < 200);
    }
    CHECK(errno == ENOMEM || errno == EAGAIN);
    CHECK(!children.empty());
    close(go[0]);
    close(go[1]);
    for (pid_t child : children) CHECK(WaitFor(child) == 0);
    // The kernel looks for the owner of a dead process among all, those that never came to be
    // aside.
    CHECK(KilledBy(InChild(DieInStub), SIGSEGV));
  }
  CheckThatProcessesWork(5);
}

}  // namespace guest
