#include "src/server/program/server_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <utility>

#include "src/base/log.h"
#include "src/base/sys.h"

namespace msb::server {

base::Result<ServerLog> ServerLog::Open(base::UniqueFd home) {
  ServerLog log(std::move(home));
  TRY(log.Begin());
  return log;
}

base::Status ServerLog::Begin() {
  const base::UniqueFd file =
      TRY(base::OpenBeneath(home_.get(), kLogFile, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0600,
                            base::kResolveNoSymlinks));
  if (::dup2(file.get(), STDERR_FILENO) < 0) return base::FailErrno("cannot write {}", kLogFile);
  return {};
}

void ServerLog::BeginIfFull() {
  const auto status = base::Stat(STDERR_FILENO);
  if (!status || static_cast<uint64_t>(status->st_size) < kMaxBytes) return;
  const std::string former = std::string(kLogFile) + ".1";
  if (::renameat(home_.get(), kLogFile, home_.get(), former.c_str()) < 0) {
    LOG(kWarning, "cannot begin a new log: {}", base::ErrnoText(errno));
    return;
  }
  if (const base::Status begun = Begin(); !begun) LOG(kWarning, "{}", begun.error().message());
}

void ServerLog::Write(http::AccessRecord record) {
  BeginIfFull();
  lines_.Write(std::move(record));
}

}  // namespace msb::server
