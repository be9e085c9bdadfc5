#include "src/server/http/memory_budget.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace msb::server::http {
namespace {

constexpr size_t kMiB = 1 << 20;

base::Error Full(std::string_view whose, size_t limit) {
  return base::Fail(base::ErrorCode::kBusy,
                    "the server holds too much {}: at most {} MiB of requests, and of answers that "
                    "were not read. Read answers as they come, and try again",
                    whose, limit / kMiB);
}

}  // namespace

MemoryBudget::Limits MemoryBudget::DefaultLimits() {
  const auto pages = static_cast<size_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  const auto page_bytes = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t bytes = std::clamp(pages * page_bytes / 8, 128 * kMiB, 1024 * kMiB);
  return {.bytes = bytes, .bytes_of_key = std::max(bytes / 4, 64 * kMiB)};
}

MemoryBudget::Hold::Hold(Hold&& other) noexcept
    : budget_(other.budget_), key_(other.key_), bytes_(std::exchange(other.bytes_, 0)) {}

MemoryBudget::Hold& MemoryBudget::Hold::operator=(Hold&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(key_, other.key_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

base::Status MemoryBudget::Hold::Take(size_t bytes) {
  if (bytes == 0) return {};
  if (budget_ == nullptr) return base::Fail(base::ErrorCode::kInvalid, "nobody is to hold this");
  const Limits& limits = budget_->limits_;
  const auto of_key = budget_->of_key_.find(key_);
  const size_t held_of_key = of_key == budget_->of_key_.end() ? 0 : of_key->second;
  if (bytes > limits.bytes_of_key - held_of_key) return Full("for this key", limits.bytes_of_key);
  if (bytes > limits.bytes - budget_->held_) return Full("in all", limits.bytes);
  budget_->of_key_[key_] += bytes;
  budget_->held_ += bytes;
  bytes_ += bytes;
  return {};
}

void MemoryBudget::Hold::Release() {
  if (bytes_ == 0) return;
  const auto of_key = budget_->of_key_.find(key_);
  of_key->second -= bytes_;
  if (of_key->second == 0) budget_->of_key_.erase(of_key);
  budget_->held_ -= std::exchange(bytes_, 0);
}

}  // namespace msb::server::http
