// What the guest programs of the kernel tests share: a way to fail, probes of memory that survive a
// fault, child processes, and the list of tests.
//
// Everything runs inside the guest, as root, without a C library's worth of comfort: each test is a
// process of its own below the init in main.cc, and fails by exiting with a status other than 0.

#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace guest {

inline constexpr size_t kPage = 4096;

// Prints where and what, with errno, and ends the process with status 1.
[[noreturn]] void Fail(const char* file, int line, const char* what);

#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::guest::Fail(__FILE_NAME__, __LINE__, #condition))

// Makes CanRead and CanWrite work in this process: installs handlers of SIGSEGV and SIGBUS. A fault
// outside of them ends the process with status 99.
void InstallFaultHandlers();
bool CanRead(const volatile void* address);
bool CanWrite(volatile void* address);

// Whether the kernel reads 8 bytes there on the program's behalf, and what it read.
bool KernelCanRead(const void* address, uint64_t* value = nullptr);
// The kernel writes 8 bytes there.
bool KernelWrite(void* address, uint64_t value);

// Runs `body` in a child and returns the wait status. A body that returns exits with status 0.
int InChild(const std::function<void()>& body);
pid_t StartChild(const std::function<void()>& body);
int WaitFor(pid_t pid);

// Fresh private memory of so many pages, aligned to 2 MiB so that every folio size fits.
char* MapPages(size_t pages);
void Unmap(char* address, size_t pages);

// The host side of the tests (`run`) reads lines that start with '@' from the console and answers
// some: tells it, and waits for its line.
void Tell(const char* line);
void Ask(const char* line);

// Settings from the kernel command line.
int Setting(const char* name, int otherwise);

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed | 1) {}
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  int Below(int limit) { return static_cast<int>(Next() % static_cast<uint64_t>(limit)); }
  bool OneIn(int n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

// --- the tests, by file

// memory.cc
void Anonymous();
void CopyOnWrite();
void HeapAndStack();
void SparseMemory();
void MappedFile();
void ChangedCode();
void Threads();
void LargeFolioPages();
void ProtNone();
void RemapTable();
void OutOfMemory();

// memory_model.cc
void MemoryModel();

// map_limit.cc
void RandomTouch();
void ManyAtOnce();
void ForkBeyondLimit();

// stubs.cc
void FreshRegisters();
void SetUserIdExec();
void StubDeath();
void StubDeathUnderVfork();
void StarvedStub();
void PooledStubDeath();
void HostProcessLimit();

// wakeup.cc
void LostWakeup();

}  // namespace guest
