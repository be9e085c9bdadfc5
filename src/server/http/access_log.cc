#include "src/server/http/access_log.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <utility>

#include "src/base/json.h"

namespace msb::server::http {

namespace {

// Whether a line can be written without waiting: a pipe that nobody reads, or a terminal that was
// stopped, must not stop the server.
bool HasRoom(int fd, size_t bytes) {
  pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
  return bytes <= PIPE_BUF && ::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0;
}

}  // namespace

void FileAccessLog::Write(AccessRecord record) {
  if (!rate_.Allow()) {
    ++left_out_;
    return;
  }
  std::string lines = base::json::Write(record) + "\n";
  if (const uint64_t count = std::exchange(left_out_, 0); count > 0) {
    lines = fmt::format("{{\"requests_not_logged\":{}}}\n", count) + lines;
  }
  if (!HasRoom(fd_, lines.size())) {
    ++left_out_;
    return;
  }
  // A log that cannot be written has nowhere to complain.
  (void)!::write(fd_, lines.data(), lines.size());
}

}  // namespace msb::server::http
