// Backlog: what has come from a guest and was not taken yet: bounded, since whoever takes it may be
// slow and the guest writes as it likes. When it is full its source is to be stopped; when half of
// it was taken, the source may go on.
//
//   if (backlog.Push(std::move(item), cost)) attachment->PauseOutput();
//   ...
//   Item item = backlog.Pop();
//   if (backlog.HasRoomAgain()) attachment->ResumeOutput();
//
// What is already on its way when the source is stopped still has room. Owned by the conversation
// that it is part of; one thread.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

namespace msb::server {

template <typename T>
class Backlog {
 public:
  // `most`: what the costs may come to.
  explicit Backlog(size_t most) : most_(most) {}

  // True once when it becomes full.
  [[nodiscard]] bool Push(T item, size_t cost) {
    items_.emplace_back(std::move(item), cost);
    cost_ += cost;
    return cost_ > most_ && !std::exchange(full_, true);
  }

  bool empty() const { return items_.empty(); }

  // It is not empty.
  T Pop() {
    auto [item, cost] = std::move(items_.front());
    items_.pop_front();
    cost_ -= cost;
    return std::move(item);
  }

  // True once after it was full.
  [[nodiscard]] bool HasRoomAgain() { return cost_ <= most_ / 2 && std::exchange(full_, false); }

  // Forgets those for which `drop` holds.
  template <typename Drop>
  void DropIf(Drop drop) {
    std::erase_if(items_, [&](const auto& entry) {
      if (!drop(entry.first)) return false;
      cost_ -= entry.second;
      return true;
    });
  }

 private:
  const size_t most_;
  std::deque<std::pair<T, size_t>> items_;
  size_t cost_ = 0;
  bool full_ = false;
};

}  // namespace msb::server
