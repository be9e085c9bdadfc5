#include "src/agent/guest/output_ring.h"

#include <algorithm>

#include "src/base/result.h"

namespace msb::agent {

std::span<char> OutputRing::Room(uint64_t keep, size_t at_most) {
  if (!memory_) memory_ = std::make_unique_for_overwrite<char[]>(capacity_);
  keep = std::max(keep, begin_);
  CHECK(keep <= end_);
  const size_t free = capacity_ - static_cast<size_t>(end_ - keep);
  const size_t at = Index(end_);
  const size_t room = std::min({free, capacity_ - at, at_most});
  const uint64_t kept_bytes = capacity_ - room;
  if (end_ - begin_ > kept_bytes) begin_ = end_ - kept_bytes;
  return {memory_.get() + at, room};
}

void OutputRing::Commit(size_t bytes) {
  CHECK(bytes <= capacity_ - static_cast<size_t>(end_ - begin_));
  end_ += bytes;
}

std::string_view OutputRing::From(uint64_t offset) const {
  CHECK(offset >= begin_ && offset <= end_);
  if (offset == end_) return {};
  const size_t at = Index(offset);
  return {memory_.get() + at, std::min(static_cast<size_t>(end_ - offset), capacity_ - at)};
}

void OutputRing::Forget(uint64_t offset) {
  begin_ = std::clamp(offset, begin_, end_);
  if (begin_ == end_) base_ = end_;
}

}  // namespace msb::agent
