// Output: one of our standard output streams as a sink that never blocks the event loop.
//
// What the descriptor does not take at once is kept (at most one piece: the caller stops sending
// while `full`), and written when there is room. The descriptor's own flags, which are shared with
// whoever gave it to us, stay as they are. Single thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "src/base/event_loop.h"
#include "src/base/unique_fd.h"

namespace msb::cli {

class Output {
 public:
  // `on_drained` is called when kept bytes have gone out; `on_failed` once, with the errno, if no
  // more can be written (EPIPE: nobody reads any more).
  Output(base::EventLoop& loop, int fd, std::function<void()> on_drained,
         std::function<void(int)> on_failed);
  Output(const Output&) = delete;

  void Write(std::string_view data);
  bool full() const { return !kept_.empty(); }

 private:
  size_t WriteSome(std::string_view data);  // 0: no room now
  void OnWritable();

  base::EventLoop& loop_;
  std::function<void()> on_drained_;
  std::function<void(int)> on_failed_;
  int fd_;
  base::UniqueFd own_;  // the same file, opened again: may be non-blocking
  bool is_socket_ = false;
  size_t piece_ = 0;  // most that one write may carry without blocking
  base::Watch watch_;
  std::string kept_;
  bool closed_ = false;
};

}  // namespace msb::cli
