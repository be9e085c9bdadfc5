// More host mappings than the host permits.
//
// Memory that is touched in random order lies scattered in physical memory, so that the host needs
// a mapping for each page; it refuses beyond vm.max_map_count (65530 unless changed). A kernel that
// does not expect it hangs here: the page is there, the program faults, the page is there ...

#include <sys/mman.h>

#include "guest.h"

namespace guest {
namespace {

class ScatteredPages {
 public:
  explicit ScatteredPages(size_t pages) : pages_(pages), base_(MapPages(pages)) {
    Each(kFirstStep, [&](size_t page) { Word(page) = page + 1; });
  }

  // In an order that is not the one in which the pages were touched first.
  void CheckAll() {
    Each(kSecondStep, [&](size_t page) { CHECK(Word(page) == page + 1); });
  }

  void CheckSome() {
    Each(kSecondStep, [&](size_t page) { CHECK(page % 16 != 0 || Word(page) == page + 1); });
  }

  void WriteAll() {
    Each(kSecondStep, [&](size_t page) { Word(page) = page + 1; });
  }

  void Protect(int protection) { CHECK(mprotect(base_, pages_ * kPage, protection) == 0); }

 private:
  // Both are primes that divide no number of pages used here.
  static constexpr size_t kFirstStep = 7919;
  static constexpr size_t kSecondStep = 104729;

  template <typename Visit>
  void Each(size_t step, Visit visit) {
    for (size_t i = 0, page = 0; i < pages_; i++, page = (page + step) % pages_) visit(page);
  }

  volatile uint64_t& Word(size_t page) {
    return *reinterpret_cast<volatile uint64_t*>(base_ + page * kPage);
  }

  const size_t pages_;
  char* const base_;
};

constexpr size_t kPagesPerMiB = 256;

}  // namespace

void RandomTouch() {
  ScatteredPages pages(600 * kPagesPerMiB);
  pages.CheckSome();
}

// One system call changes all pages, so that one update of the host's mappings needs more of them
// than there can be.
void ManyAtOnce() {
  ScatteredPages pages(300 * kPagesPerMiB);
  pages.Protect(PROT_READ);
  pages.CheckAll();
  pages.Protect(PROT_READ | PROT_WRITE);
  pages.WriteAll();
  pages.CheckSome();
}

// A child starts with all of its parent's pages at once, and both copy on write.
void ForkBeyondLimit() {
  ScatteredPages pages(300 * kPagesPerMiB);
  const pid_t child = StartChild([&] {
    pages.WriteAll();
    pages.CheckSome();
  });
  CHECK(child > 0);
  pages.CheckSome();
  CHECK(WaitFor(child) == 0);
  pages.CheckSome();
}

}  // namespace guest
