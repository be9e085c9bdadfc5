// ServerLog: where a detached server writes: $MSB_HOME/server.log, and before that server.log.1.
//
// Standard error is the file. It is looked at with each request, and a new one begun when it has
// become too long: both together are bounded. One thread.
#pragma once

#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/server/http/access_log.h"

namespace msb::server {

inline constexpr const char* kLogFile = "server.log";

class ServerLog : public http::AccessLog {
 public:
  static constexpr uint64_t kMaxBytes = 16ull << 20;

  // Standard error becomes the file.
  static base::Result<ServerLog> Open(base::UniqueFd home);
  void Write(http::AccessRecord record) override;

 private:
  explicit ServerLog(base::UniqueFd home) : home_(std::move(home)), lines_(2) {}
  base::Status Begin();
  void BeginIfFull();

  base::UniqueFd home_;
  http::FileAccessLog lines_;
};

}  // namespace msb::server
