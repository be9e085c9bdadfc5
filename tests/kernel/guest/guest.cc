#include "guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace guest {
namespace {

thread_local sigjmp_buf fault_return;
thread_local volatile sig_atomic_t fault_expected = 0;

void OnFault(int) {
  if (fault_expected == 0) {
    constexpr char kMessage[] = "@info unexpected fault\n";
    (void)!write(STDOUT_FILENO, kMessage, sizeof(kMessage) - 1);
    _exit(99);
  }
  fault_expected = 0;
  siglongjmp(fault_return, 1);
}

template <typename Access>
bool Survives(Access access) {
  if (sigsetjmp(fault_return, 0) != 0) return false;
  fault_expected = 1;
  access();
  fault_expected = 0;
  return true;
}

// A pipe of this process; a child makes its own, or they would read each other's bytes.
const int* Pipe() {
  static int ends[2];
  static pid_t owner = 0;
  if (owner != getpid()) {
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    owner = getpid();
  }
  return ends;
}

}  // namespace

void Fail(const char* file, int line, const char* what) {
  printf("@info %s:%d: %s (%s)\n", file, line, what, strerror(errno));
  fflush(stdout);
  _exit(1);
}

void InstallFaultHandlers() {
  struct sigaction action = {};
  action.sa_handler = OnFault;
  // The handler jumps out, so the signal must not stay blocked.
  action.sa_flags = SA_NODEFER;
  CHECK(sigaction(SIGSEGV, &action, nullptr) == 0);
  CHECK(sigaction(SIGBUS, &action, nullptr) == 0);
}

bool CanRead(const volatile void* address) {
  return Survives([&] { (void)*static_cast<const volatile char*>(address); });
}

bool CanWrite(volatile void* address) {
  auto* byte = static_cast<volatile char*>(address);
  return Survives([&] { *byte = *byte; });
}

bool KernelCanRead(const void* address, uint64_t* value) {
  const int* ends = Pipe();
  uint64_t copy = 0;
  if (write(ends[1], address, sizeof(copy)) != sizeof(copy)) return false;
  CHECK(read(ends[0], &copy, sizeof(copy)) == sizeof(copy));
  if (value != nullptr) *value = copy;
  return true;
}

bool KernelWrite(void* address, uint64_t value) {
  const int* ends = Pipe();
  CHECK(write(ends[1], &value, sizeof(value)) == sizeof(value));
  if (read(ends[0], address, sizeof(value)) == sizeof(value)) return true;
  CHECK(read(ends[0], &value, sizeof(value)) == sizeof(value));
  return false;
}

pid_t StartChild(const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  body();
  fflush(stdout);
  _exit(0);
}

int WaitFor(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) != pid) CHECK(errno == EINTR);
  return status;
}

int InChild(const std::function<void()>& body) {
  const pid_t pid = StartChild(body);
  CHECK(pid > 0);
  return WaitFor(pid);
}

char* MapPages(size_t pages) {
  constexpr size_t kAlignment = size_t{2} << 20;
  const size_t length = pages * kPage;
  void* area = mmap(nullptr, length + kAlignment, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(area != MAP_FAILED);
  char* const begin = static_cast<char*>(area);
  char* const aligned = reinterpret_cast<char*>(
      (reinterpret_cast<uintptr_t>(begin) + kAlignment - 1) & ~(kAlignment - 1));
  if (aligned != begin) CHECK(munmap(begin, static_cast<size_t>(aligned - begin)) == 0);
  CHECK(munmap(aligned + length, static_cast<size_t>(begin + kAlignment - aligned)) == 0);
  return aligned;
}

void Unmap(char* address, size_t pages) { CHECK(munmap(address, pages * kPage) == 0); }

void Tell(const char* line) {
  printf("%s\n", line);
  fflush(stdout);
}

void Ask(const char* line) {
  Tell(line);
  char byte = 0;
  do {
    CHECK(read(STDIN_FILENO, &byte, 1) == 1);
  } while (byte != '\n');
}

int Setting(const char* name, int otherwise) {
  const char* value = getenv(name);
  return value != nullptr ? atoi(value) : otherwise;
}

}  // namespace guest
