// FuzzInput: a fuzzer's bytes as numbers and strings, in order; zeroes after the end. So seeds can
// be written by hand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace msb::virtio::testing {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }
  template <typename T>
  T Take() {
    T value = {};
    const auto bytes = TakeBytes(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  // At most `count` bytes: what is left.
  std::span<const std::byte> TakeBytes(size_t count) {
    count = std::min(count, rest_.size());
    const auto bytes = std::as_bytes(rest_.first(count));
    rest_ = rest_.subspan(count);
    return bytes;
  }

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace msb::virtio::testing
