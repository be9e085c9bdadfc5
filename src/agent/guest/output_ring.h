// OutputRing: the last bytes that a process wrote to one stream, by their offset since its start.
//
// Filled by read(2) and emptied by sendmsg(2) in place. Memory is taken when the first byte comes
// and never exceeds the capacity. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace msb::agent {

class OutputRing {
 public:
  explicit OutputRing(size_t capacity) : capacity_(capacity) {}

  uint64_t begin() const { return begin_; }  // offset of the oldest byte kept
  uint64_t end() const { return end_; }      // offset of the next byte

  // Contiguous room for new bytes that overwrites nothing from `keep` on; empty if there is none.
  // What it may overwrite is gone at once.
  std::span<char> Room(uint64_t keep, size_t at_most);
  void Commit(size_t bytes);

  // The bytes from `offset` (begin() to end()) that lie in one piece.
  std::string_view From(uint64_t offset) const;

  // All bytes up to `offset` are of no use any more: they need not be kept, and once there are none
  // left the same memory, still warm, is used again.
  void Forget(uint64_t offset);

 private:
  size_t capacity_;
  std::unique_ptr<char[]> memory_;
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
  uint64_t base_ = 0;  // offset of the byte that is, or would be, at memory_[0]; see Index
  size_t Index(uint64_t offset) const { return (offset - base_) % capacity_; }
};

}  // namespace msb::agent
