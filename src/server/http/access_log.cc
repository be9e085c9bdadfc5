#include "src/server/http/access_log.h"

#include <unistd.h>

#include <utility>

#include "src/base/json.h"

namespace msb::server::http {

void FileAccessLog::Write(AccessRecord record) {
  if (!rate_.Allow()) {
    ++left_out_;
    return;
  }
  std::string lines = base::json::Write(record) + "\n";
  if (const uint64_t count = std::exchange(left_out_, 0); count > 0) {
    lines = fmt::format("{{\"requests_not_logged\":{}}}\n", count) + lines;
  }
  // A log that cannot be written has nowhere to complain.
  (void)!::write(fd_, lines.data(), lines.size());
}

}  // namespace msb::server::http
