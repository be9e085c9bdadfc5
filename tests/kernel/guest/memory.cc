// What a program may expect of its memory: contents, permissions and sharing, one kind of memory a
// test. The kernel keeps the host's mappings of a guest process in step with its page tables by
// hand, so most tests ask twice: the program looks, and the kernel looks on its behalf.

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "guest.h"

namespace guest {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

uint64_t& First(char* base, size_t page) {
  return *reinterpret_cast<uint64_t*>(base + page * kPage);
}
uint64_t& Last(char* base, size_t page) {
  return *reinterpret_cast<uint64_t*>(base + (page + 1) * kPage - sizeof(uint64_t));
}

void Fill(char* base, size_t begin, size_t end, uint64_t salt) {
  for (size_t page = begin; page < end; page++) {
    First(base, page) = page + salt;
    Last(base, page) = ~(page + salt);
  }
}

void CheckFilled(char* base, size_t begin, size_t end, uint64_t salt) {
  for (size_t page = begin; page < end; page++) {
    CHECK(First(base, page) == page + salt);
    CHECK(Last(base, page) == ~(page + salt));
  }
}

void CheckZero(char* base, size_t begin, size_t end) {
  for (size_t page = begin; page < end; page++) {
    CHECK(First(base, page) == 0);
    CHECK(Last(base, page) == 0);
  }
}

void AnonymousOfSize(size_t pages) {
  char* area = MapPages(pages);
  CheckZero(area, 0, pages);
  Fill(area, 0, pages, 1);
  CheckFilled(area, 0, pages, 1);

  CHECK(mprotect(area, pages * kPage, PROT_READ) == 0);
  CHECK(CanRead(area));
  CHECK(!CanWrite(area));
  CHECK(!CanWrite(area + (pages - 1) * kPage));
  CHECK(mprotect(area, pages * kPage, kReadWrite) == 0);
  CheckFilled(area, 0, pages, 1);
  CHECK(CanWrite(area));

  void* moved = mremap(area, pages * kPage, 2 * pages * kPage, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  if (moved != area) CHECK(!CanRead(area));
  area = static_cast<char*>(moved);
  CheckFilled(area, 0, pages, 1);
  CheckZero(area, pages, 2 * pages);
  CHECK(mremap(area, 2 * pages * kPage, pages * kPage, 0) == area);
  CHECK(!CanRead(area + pages * kPage));

  const size_t half = pages / 2;
  CHECK(madvise(area + half * kPage, (pages - half) * kPage, MADV_DONTNEED) == 0);
  CheckFilled(area, 0, half, 1);
  CheckZero(area, half, pages);

  Unmap(area, pages);
  CHECK(!CanRead(area));
  CHECK(!CanRead(area + (pages - 1) * kPage));
  CHECK(!KernelCanRead(area));
}

// One of several processes that each fill and check memory of their own.
void* FillAndCheckMemory(void* argument) {
  const auto id = reinterpret_cast<uintptr_t>(argument);
  Random random(id * 77777);
  for (int round = 0; round < 60; round++) {
    const auto pages = static_cast<size_t>(1 + random.Below(150));
    const uint64_t salt = id * 1000000 + static_cast<uint64_t>(round) * 1000;
    void* area = mmap(nullptr, pages * kPage, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    char* const base = static_cast<char*>(area);
    CheckZero(base, 0, pages);
    Fill(base, 0, pages, salt);
    CheckFilled(base, 0, pages, salt);
    if (round % 3 == 0) CHECK(madvise(base, pages * kPage / 2, MADV_DONTNEED) == 0);
    Unmap(base, pages);
  }
  return nullptr;
}

bool DeepCallIsSound(int depth) {
  volatile char frame[kPage];
  frame[0] = static_cast<char>(depth);
  frame[kPage - 1] = static_cast<char>(depth + 1);
  const bool below = depth == 0 || DeepCallIsSound(depth - 1);
  return below && frame[0] == static_cast<char>(depth) &&
         frame[kPage - 1] == static_cast<char>(depth + 1);
}

int FileOfPages(size_t pages) {
  const int fd = open("/tmp", O_RDWR | O_TMPFILE, 0600);
  CHECK(fd >= 0);
  std::vector<uint64_t> page(kPage / sizeof(uint64_t));
  for (size_t i = 0; i < pages; i++) {
    for (size_t word = 0; word < page.size(); word++) page[word] = i * 1000 + word;
    CHECK(write(fd, page.data(), kPage) == static_cast<ssize_t>(kPage));
  }
  return fd;
}

uint64_t* MapFile(int fd, size_t pages, int protection, int flags) {
  void* area = mmap(nullptr, pages * kPage, protection, flags, fd, 0);
  CHECK(area != MAP_FAILED);
  return static_cast<uint64_t*>(area);
}

void EatAllMemory() {
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY);
  CHECK(fd >= 0 && write(fd, "1000", 4) == 4);
  for (;;) {
    constexpr size_t kChunk = size_t{1} << 20;
    void* chunk =
        mmap(nullptr, kChunk, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(chunk != MAP_FAILED);
    memset(chunk, 1, kChunk);
  }
}

}  // namespace

void Anonymous() {
  for (size_t pages = 1; pages <= 700; pages = pages * 2 + 1) AnonymousOfSize(pages);
}

void CopyOnWrite() {
  constexpr size_t kPages = 600;
  char* own = MapPages(kPages);
  void* shared_area = mmap(nullptr, kPages * kPage, kReadWrite, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared_area != MAP_FAILED);
  char* shared = static_cast<char*>(shared_area);
  Fill(own, 0, kPages, 5);

  for (size_t round = 0; round < 6; round++) {
    const auto changed = [&](size_t page) { return page % 3 == round % 3; };
    const pid_t child = StartChild([&] {
      CheckFilled(own, 0, kPages, 5);
      for (size_t page = 0; page < kPages; page++) {
        if (changed(page)) First(own, page) = 77;
        First(shared, page) += 1;
      }
      const int status = InChild([&] {
        for (size_t page = 0; page < kPages; page++) {
          CHECK(First(own, page) == (changed(page) ? 77 : page + 5));
        }
        Unmap(own, kPages / 2);
        CHECK(!CanRead(own));
      });
      CHECK(status == 0);
      for (size_t page = 0; page < kPages; page++) {
        CHECK(First(own, page) == (changed(page) ? 77 : page + 5));
      }
    });
    CHECK(child > 0);
    // In every other round the parent breaks the sharing first.
    if (round % 2 == 1) Fill(own, 0, kPages, 5);
    CHECK(WaitFor(child) == 0);
    CheckFilled(own, 0, kPages, 5);
    for (size_t page = 0; page < kPages; page++) CHECK(First(shared, page) == round + 1);
  }
}

void HeapAndStack() {
  constexpr size_t kPages = 300;
  char* base = static_cast<char*>(sbrk(0));
  base += kPage - reinterpret_cast<uintptr_t>(base) % kPage;
  CHECK(brk(base + kPages * kPage) == 0);
  CheckZero(base, 0, kPages);
  Fill(base, 0, kPages, 9);
  CHECK(brk(base + 37 * kPage) == 0);
  CHECK(!CanRead(base + 37 * kPage));
  CHECK(brk(base + kPages * kPage) == 0);
  CheckFilled(base, 0, 37, 9);
  CheckZero(base, 37, kPages);

  // The stack may grow beyond its usual limit in a new process only.
  const rlimit limit = {size_t{64} << 20, size_t{64} << 20};
  CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
  CHECK(InChild([] { CHECK(DeepCallIsSound(1200)); }) == 0);
}

void SparseMemory() {
  constexpr size_t kLength = size_t{1} << 36;
  constexpr int kTouched = 1200;
  void* area =
      mmap(nullptr, kLength, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(area != MAP_FAILED);
  char* const base = static_cast<char*>(area);
  const auto each = [&](auto visit) {
    Random random(4711);
    for (int i = 0; i < kTouched; i++) visit(random.Next() % (kLength / kPage));
  };
  each([&](uint64_t page) { First(base, page) = page + 1; });
  each([&](uint64_t page) { CHECK(First(base, page) == page + 1); });
  each([&](uint64_t page) {
    const uint64_t neighbour = First(base, page ^ 1);
    CHECK(neighbour == 0 || neighbour == (page ^ 1) + 1);
  });
  CHECK(munmap(area, kLength) == 0);
  CHECK(!CanRead(base));
}

void MappedFile() {
  constexpr size_t kPages = 300;
  constexpr size_t kWords = kPage / sizeof(uint64_t);
  const int fd = FileOfPages(kPages);
  uint64_t* own = MapFile(fd, kPages, kReadWrite, MAP_PRIVATE);
  uint64_t* shared = MapFile(fd, kPages, kReadWrite, MAP_SHARED);
  uint64_t* code = MapFile(fd, kPages, PROT_READ | PROT_EXEC, MAP_PRIVATE);

  for (size_t i = 0; i < kPages; i++) {
    CHECK(own[i * kWords + 7] == i * 1000 + 7);
    CHECK(code[i * kWords + 8] == i * 1000 + 8);
  }
  CHECK(!CanWrite(code));
  for (size_t i = 0; i < kPages; i += 5) own[i * kWords + 7] = 1;
  for (size_t i = 0; i < kPages; i += 7) shared[i * kWords + 9] = 2;
  for (size_t i = 0; i < kPages; i++) {
    std::vector<uint64_t> page(kWords);
    CHECK(pread(fd, page.data(), kPage, static_cast<off_t>(i * kPage)) ==
          static_cast<ssize_t>(kPage));
    CHECK(page[7] == i * 1000 + 7);
    CHECK(page[9] == (i % 7 == 0 ? 2 : i * 1000 + 9));
    CHECK(own[i * kWords + 7] == (i % 5 == 0 ? 1 : i * 1000 + 7));
    CHECK(code[i * kWords + 9] == page[9]);
  }

  const uint64_t written = 4242;
  CHECK(pwrite(fd, &written, sizeof(written), 11 * kPage + 24) == sizeof(written));
  CHECK(shared[11 * kWords + 3] == written);
  CHECK(code[11 * kWords + 3] == written);

  // Pages beyond the end are gone, and come back empty.
  CHECK(ftruncate(fd, 100 * kPage) == 0);
  CHECK(!CanRead(shared + 150 * kWords));
  CHECK(CanRead(shared + 99 * kWords));
  CHECK(ftruncate(fd, kPages * kPage) == 0);
  CHECK(shared[150 * kWords] == 0);
}

void ChangedCode() {
  void* area = mmap(nullptr, kPage, kReadWrite | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(area != MAP_FAILED);
  const auto function = reinterpret_cast<int (*)()>(area);
  for (unsigned char value = 1; value < 100; value++) {
    const unsigned char code[] = {0xb8, value, 0, 0, 0, 0xc3};  // mov $value, %eax; ret
    memcpy(area, code, sizeof(code));
    CHECK(function() == value);
    if (value % 10 != 0) continue;
    CHECK(mprotect(area, kPage, PROT_READ | PROT_EXEC) == 0);
    CHECK(!CanWrite(area));
    CHECK(function() == value);
    CHECK(mprotect(area, kPage, kReadWrite | PROT_EXEC) == 0);
  }
}

void Threads() {
  for (int round = 0; round < 4; round++) {
    pthread_t threads[6];
    uintptr_t id = 0;
    for (pthread_t& thread : threads) {
      CHECK(pthread_create(&thread, nullptr, FillAndCheckMemory, reinterpret_cast<void*>(++id)) ==
            0);
    }
    for (pthread_t thread : threads) CHECK(pthread_join(thread, nullptr) == 0);
  }
}

// One fault maps a whole folio: each of its pages must be a page of its own, and of nobody else's.
void LargeFolioPages() {
  constexpr size_t kFolio = 16;
  constexpr size_t kFolios = 256;
  char* area = MapPages(kFolio * kFolios);
  for (size_t folio = 0; folio < kFolios; folio++) area[folio * kFolio * kPage] = 1;
  Fill(area, 0, kFolio * kFolios, 3);
  CheckFilled(area, 0, kFolio * kFolios, 3);
  for (size_t page = 0; page < kFolio * kFolios; page++) {
    uint64_t value = 0;
    CHECK(KernelCanRead(area + page * kPage, &value) && value == page + 3);
  }
}

void ProtNone() {
  for (size_t pages : {size_t{1}, size_t{600}}) {
    char* area = MapPages(pages);
    Fill(area, 0, pages, 7);
    CHECK(mprotect(area, pages * kPage, PROT_NONE) == 0);
    for (size_t page = 0; page < pages; page += 13) {
      CHECK(!CanRead(area + page * kPage));
      CHECK(!KernelCanRead(area + page * kPage));
      CHECK(!KernelWrite(area + page * kPage, 1));
    }
    CHECK(mprotect(area, pages * kPage, PROT_READ) == 0);
    CheckFilled(area, 0, pages, 7);
    CHECK(KernelCanRead(area));
    CHECK(!KernelWrite(area, 1));
    Unmap(area, pages);
  }
}

// mremap() onto a range that is mapped frees its page table and installs another one within one
// system call. What was mapped there must be gone, also where the new table stays empty.
void RemapTable() {
  constexpr size_t kTable = 512;
  for (int round = 0; round < 8; round++) {
    char* target = MapPages(kTable);
    char* source = MapPages(kTable);
    Fill(target, 0, kTable, 1000);
    First(source, 0) = 1;
    CHECK(mremap(source, kTable * kPage, kTable * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target) ==
          target);
    CHECK(First(target, 0) == 1);
    for (size_t page = 16; page < kTable; page++) CHECK(First(target, page) == 0);
    CHECK(!CanRead(source));
    Unmap(target, kTable);
  }
}

void OutOfMemory() {
  for (int round = 0; round < 4; round++) {
    const int status = InChild(EatAllMemory);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    constexpr size_t kPages = 1024;
    char* area = MapPages(kPages);
    Fill(area, 0, kPages, 11);
    CheckFilled(area, 0, kPages, 11);
    Unmap(area, kPages);
  }
}

}  // namespace guest
