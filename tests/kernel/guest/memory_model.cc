// Random memory operations, checked against a model.
//
// The arena is a range of pages. For each page the model knows what it is, what may be done with it
// and the first and last 8 bytes of its contents. An operation changes both; a check compares them,
// by the program's own access and by the kernel's on its behalf. Processes fork at random and go on
// with operations of their own, so that copy-on-write, page tables that come and go, and host
// mappings that must follow all meet in orders that nobody would have written down.
//
// Settings: seconds, seed.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <vector>

#include "guest.h"

namespace guest {
namespace {

constexpr int kArenaPages = 6144;
constexpr int kFilePages = 2048;
constexpr int kRead = PROT_READ;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;

enum class Kind : uint8_t { kNothing, kPrivate, kShared, kFile };

struct Page {
  Kind kind = Kind::kNothing;
  int protection = PROT_NONE;
  int file_page = 0;
  uint64_t first = 0;
  uint64_t last = 0;
};

uint64_t FileWord(int file_page, int word) {
  return static_cast<uint64_t>(file_page) * 7919 + static_cast<uint64_t>(word) + 1;
}

Page FilePage(int protection, int file_page) {
  return {Kind::kFile, protection, file_page, FileWord(file_page, 0), FileWord(file_page, 511)};
}

class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed), pages_(kArenaPages) {
    arena_ = MapPages(kArenaPages);
    file_ = open("/tmp", O_RDWR | O_TMPFILE, 0600);
    CHECK(file_ >= 0);
    for (int page = 0; page < kFilePages; page++) {
      std::vector<uint64_t> words(512);
      words[0] = FileWord(page, 0);
      words[511] = FileWord(page, 511);
      CHECK(write(file_, words.data(), kPage) == static_cast<ssize_t>(kPage));
    }
    Map({0, kArenaPages}, Kind::kPrivate, PROT_NONE);
  }

  void RunFor(int seconds) {
    timespec start = {};
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
      for (int i = 0; i < 100; i++) Operation();
      clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec < seconds);
    for (int page = 0; page < kArenaPages; page++) Check(page);
    printf("@info memory_model: %ld operations, %ld forks\n", operations_, forks_);
  }

 private:
  struct Range {
    int begin = 0;
    int end = 0;
    int length() const { return end - begin; }
    size_t bytes() const { return static_cast<size_t>(length()) * kPage; }
  };

  char* Address(int page) { return arena_ + static_cast<size_t>(page) * kPage; }
  volatile uint64_t* FirstWord(int page) {
    return reinterpret_cast<volatile uint64_t*>(Address(page));
  }
  volatile uint64_t* LastWord(int page) {
    return reinterpret_cast<volatile uint64_t*>(Address(page) + kPage - sizeof(uint64_t));
  }

  // Most ranges are short; one in 50 spans page tables.
  Range RandomRange() {
    int length = 1 + random_.Below(1 << random_.Below(8));
    if (random_.OneIn(50)) length = 512 + random_.Below(1500);
    const int begin = random_.Below(kArenaPages - length);
    return {begin, begin + length};
  }

  int RandomProtection() {
    constexpr int kChoices[] = {kReadWrite, kReadWrite, kReadWrite, kRead, PROT_NONE};
    return kChoices[random_.Below(5)];
  }

  bool Writable(int page) const {
    return pages_[page].kind != Kind::kNothing && (pages_[page].protection & PROT_WRITE) != 0;
  }

  // Shared pages are changed by one process only, or the model of the other would not know.
  bool MayWrite(int page) const {
    return Writable(page) && !(pages_[page].kind == Kind::kShared && depth_ > 0);
  }

  // The part of the range in front of the first hole.
  Range Mapped(Range range) const {
    int end = range.begin;
    while (end < range.end && pages_[end].kind != Kind::kNothing) end++;
    return {range.begin, end};
  }

  void Map(Range range, Kind kind, int protection) {
    const int sharing = kind == Kind::kShared ? MAP_SHARED : MAP_PRIVATE;
    CHECK(mmap(Address(range.begin), range.bytes(), protection,
               sharing | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == Address(range.begin));
    for (int page = range.begin; page < range.end; page++) pages_[page] = {kind, protection};
  }

  void MapFile(Range range) {
    if (range.length() > kFilePages / 2) range.end = range.begin + kFilePages / 2;
    const int offset = random_.Below(kFilePages - range.length());
    const int protection = RandomProtection();
    CHECK(mmap(Address(range.begin), range.bytes(), protection, MAP_PRIVATE | MAP_FIXED, file_,
               static_cast<off_t>(offset) * static_cast<off_t>(kPage)) == Address(range.begin));
    for (int page = range.begin; page < range.end; page++) {
      pages_[page] = FilePage(protection, offset + page - range.begin);
    }
  }

  void UnmapRange(Range range) {
    CHECK(munmap(Address(range.begin), range.bytes()) == 0);
    for (int page = range.begin; page < range.end; page++) pages_[page] = {};
  }

  void Protect(Range range) {
    range = Mapped(range);
    if (range.length() == 0) return;
    const int protection = RandomProtection();
    CHECK(mprotect(Address(range.begin), range.bytes(), protection) == 0);
    for (int page = range.begin; page < range.end; page++) pages_[page].protection = protection;
  }

  void Discard(Range range) {
    range = Mapped(range);
    if (range.length() == 0) return;
    CHECK(madvise(Address(range.begin), range.bytes(), MADV_DONTNEED) == 0);
    for (int i = range.begin; i < range.end; i++) {
      Page& page = pages_[i];
      if (page.kind == Kind::kPrivate) page.first = page.last = 0;
      if (page.kind == Kind::kFile) page = FilePage(page.protection, page.file_page);
    }
  }

  // mremap() moves pages of one mapping only.
  Range OfOneMapping(Range range) const {
    const Page& front = pages_[range.begin];
    int end = range.begin + 1;
    for (; end < range.end; end++) {
      const Page& page = pages_[end];
      if (page.kind != front.kind || page.protection != front.protection) break;
      if (front.kind == Kind::kFile && page.file_page != front.file_page + end - range.begin) break;
    }
    return {range.begin, end};
  }

  void Move(Range from) {
    if (pages_[from.begin].kind == Kind::kNothing) return;
    from = OfOneMapping(from);
    const int begin = random_.Below(kArenaPages - from.length());
    const Range to = {begin, begin + from.length()};
    if (to.end > from.begin && to.begin < from.end) return;

    void* moved = mremap(Address(from.begin), from.bytes(), from.bytes(),
                         MREMAP_MAYMOVE | MREMAP_FIXED, Address(to.begin));
    if (moved != Address(to.begin)) {
      // What the model takes for one mapping can be two to the kernel. The target may be gone then;
      // both ranges start afresh.
      CHECK(errno == EFAULT || errno == EINVAL || errno == ENOMEM);
      Map(from, Kind::kPrivate, kReadWrite);
      Map(to, Kind::kPrivate, kReadWrite);
      return;
    }
    for (int i = 0; i < from.length(); i++) {
      pages_[to.begin + i] = pages_[from.begin + i];
      pages_[from.begin + i] = {};
    }
  }

  void Write(Range range) {
    for (int page = range.begin; page < range.end; page++) {
      if (!MayWrite(page)) continue;
      const uint64_t value = random_.Next();
      pages_[page].first = value;
      if (random_.OneIn(8)) {
        CHECK(KernelWrite(Address(page), value));
      } else {
        *FirstWord(page) = value;
      }
      if (page % 2 == 1) {
        pages_[page].last = ~value;
        *LastWord(page) = ~value;
      }
    }
  }

  [[noreturn]] void FailPage(int index, const char* what) {
    const Page& page = pages_[index];
    printf("@info page %d (kind %d, protection %d, depth %d, operation %ld): %s\n", index,
           static_cast<int>(page.kind), page.protection, depth_, operations_, what);
    Fail("memory_model.cc", 0, "the model and the memory differ");
  }

  void Check(int index) {
    const Page& page = pages_[index];
    char* const address = Address(index);
    if (page.kind == Kind::kNothing || (page.protection & PROT_READ) == 0) {
      if (CanRead(address)) FailPage(index, "readable");
      if (random_.OneIn(4) && KernelCanRead(address)) FailPage(index, "readable for the kernel");
      return;
    }
    if (!CanRead(address)) FailPage(index, "not readable");
    if (*FirstWord(index) != page.first) FailPage(index, "wrong first word");
    if (*LastWord(index) != page.last) FailPage(index, "wrong last word");
    if (!Writable(index) && random_.OneIn(3) && CanWrite(address)) FailPage(index, "writable");
    uint64_t value = 0;
    if (random_.OneIn(16) && !(KernelCanRead(address, &value) && value == page.first)) {
      FailPage(index, "the kernel reads something else");
    }
  }

  void RunAsChild(Range shared, uint64_t key) {
    depth_++;
    random_ = Random(random_.Next() ^ (0x9e3779b97f4a7c15ULL * static_cast<uint64_t>(depth_)));
    if (depth_ == 1) ChangeShared(shared, key, true);
    const int operations = random_.Below(30);
    for (int i = 0; i < operations; i++) Operation();
    if (random_.OneIn(4)) {
      for (int page = 0; page < kArenaPages; page++) Check(page);
    } else {
      for (int i = 0; i < 200; i++) Check(random_.Below(kArenaPages));
    }
    if (random_.OneIn(8)) kill(getpid(), SIGKILL);
  }

  // The child changes shared pages in a way that the parent can follow.
  void ChangeShared(Range range, uint64_t key, bool memory_too) {
    for (int page = range.begin; page < range.end; page++) {
      if (pages_[page].kind != Kind::kShared || !Writable(page)) continue;
      pages_[page].first ^= key;
      if (memory_too) *FirstWord(page) = pages_[page].first;
    }
  }

  void Fork() {
    forks_++;
    const int begin = random_.Below(kArenaPages - 64);
    const Range shared = {begin, begin + 1 + random_.Below(63)};
    const uint64_t key = random_.Next();
    const pid_t child = StartChild([&] { RunAsChild(shared, key); });
    if (child < 0) {
      CHECK(errno == EAGAIN || errno == ENOMEM);
      return;
    }
    for (int i = 0; i < 20; i++) {
      const int page = random_.Below(kArenaPages);
      if (pages_[page].kind == Kind::kShared || !Writable(page)) continue;
      pages_[page].last = random_.Next();
      *LastWord(page) = pages_[page].last;
    }
    const int status = WaitFor(child);
    CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    if (depth_ == 0) ChangeShared(shared, key, false);
  }

  void Operation() {
    operations_++;
    const Range range = RandomRange();
    switch (random_.Below(12)) {
      case 0:
      case 1:
        return Map(range, Kind::kPrivate, RandomProtection());
      case 2:
        return depth_ == 0 ? Map(range, Kind::kShared, RandomProtection()) : void();
      case 3:
        return MapFile(range);
      case 4:
        Map(range, Kind::kPrivate, PROT_NONE);
        return random_.OneIn(2) ? UnmapRange(range) : void();
      case 5:
        return Protect(range);
      case 6:
        return Discard(range);
      case 7:
        return Move(range);
      case 8:
      case 9:
        return Write(range);
      case 10:
        for (int page = range.begin; page < range.end; page++) Check(page);
        return;
      default:
        if (depth_ < 2 && random_.OneIn(depth_ > 0 ? 6 : 2)) Fork();
    }
  }

  Random random_;
  std::vector<Page> pages_;
  char* arena_ = nullptr;
  int file_ = -1;
  int depth_ = 0;
  long operations_ = 0;
  long forks_ = 0;
};

}  // namespace

void MemoryModel() {
  const int seed = Setting("seed", 12345);
  printf("@info memory_model: seed %d\n", seed);
  Model(static_cast<uint64_t>(seed)).RunFor(Setting("seconds", 10));
}

}  // namespace guest
