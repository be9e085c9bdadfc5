// UniqueFd: sole owner of a file descriptor; closes it. Movable, not copyable. Any thread.
#pragma once

#include <unistd.h>

#include <utility>

namespace msb::base {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);  // EINTR: the descriptor is gone all the same on Linux
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace msb::base
