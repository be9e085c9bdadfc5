// GuestLog: the guest kernel's messages, read from its standard error into a bounded ring.
//
// A guest that floods is slowed, not followed: beyond kBytesPerSecond the pipe is left unread until
// the second is over, and the kernel waits. Owned by the monitor, on its event loop.
#pragma once

#include <memory>
#include <string>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::sandbox {

class GuestLog {
 public:
  static constexpr size_t kRingBytes = 64 * 1024;
  static constexpr size_t kBytesPerSecond = 256 * 1024;

  // `write_end` receives the descriptor for the guest.
  static base::Result<std::unique_ptr<GuestLog>> Create(base::EventLoop& loop,
                                                        base::UniqueFd& write_end);

  // What is still in the pipe is taken first. The last `lines` lines, of them the last `bytes`
  // bytes; foreign text.
  std::string Tail(size_t lines, size_t bytes = kRingBytes);

 private:
  GuestLog() = default;
  bool Read();  // false: nothing there now

  base::UniqueFd pipe_;
  base::Watch watch_;
  base::Timer resume_;
  size_t read_this_second_ = 0;
  std::string ring_;
};

}  // namespace msb::sandbox
