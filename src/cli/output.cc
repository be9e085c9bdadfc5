#include "src/cli/output.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/sys.h"

namespace msb::cli {

Output::Output(base::EventLoop& loop, int fd, std::function<void()> on_drained,
               std::function<void(int)> on_failed)
    : loop_(loop), on_drained_(std::move(on_drained)), on_failed_(std::move(on_failed)), fd_(fd) {
  piece_ = SIZE_MAX;
  struct stat status = {};
  if (::fstat(fd, &status) < 0 || S_ISREG(status.st_mode))
    return;  // a file never makes us wait long
  is_socket_ = S_ISSOCK(status.st_mode);
  if (is_socket_) return;
  auto again =
      base::OpenFile(fmt::format("/proc/self/fd/{}", fd), O_WRONLY | O_NONBLOCK | O_NOCTTY);
  if (again) {
    own_ = *std::move(again);
    fd_ = own_.get();
  } else {
    // Not ours to open (another user's terminal): a pipe with room takes PIPE_BUF bytes at once.
    piece_ = PIPE_BUF;
  }
}

size_t Output::WriteSome(std::string_view data) {
  data = data.substr(0, piece_);
  const ssize_t put = is_socket_
                          ? ::send(fd_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                          : ::write(fd_, data.data(), data.size());
  if (put >= 0) return static_cast<size_t>(put);
  const int error = errno;
  if (error == EAGAIN || error == EINTR) return 0;
  closed_ = true;
  kept_.clear();
  watch_.Reset();
  on_failed_(error);  // at once: the program's exit may be next in the same batch
  return 0;
}

void Output::Write(std::string_view data) {
  if (closed_) return;
  while (kept_.empty() && !data.empty()) {
    // With the small piece the first write needs the word of epoll, too.
    const size_t put = piece_ == PIPE_BUF ? 0 : WriteSome(data);
    if (closed_) return;
    if (put == 0) break;
    data.remove_prefix(put);
  }
  if (data.empty()) return;
  kept_ += data;
  if (watch_.active()) return;
  auto watch = loop_.Add(fd_, EPOLLOUT, [this](uint32_t) { OnWritable(); });
  if (watch) {
    watch_ = *std::move(watch);
  } else {
    loop_.Defer([this] { OnWritable(); });  // epoll knows no such files: they are always ready
  }
}

void Output::OnWritable() {
  const size_t put = WriteSome(kept_);
  if (closed_) return;
  kept_.erase(0, put);
  if (!kept_.empty()) return;
  watch_.Reset();
  on_drained_();
}

}  // namespace msb::cli
