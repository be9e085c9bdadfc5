#include "src/server/program/pid_file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/retry.h"
#include "src/base/sys.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr const char* kFile = "server.pid";
constexpr size_t kMaxRecord = 64 << 10;

base::Result<base::UniqueFd> Open(int home_fd, int flags) {
  return base::OpenBeneath(home_fd, kFile, flags, 0600, base::kResolveNoSymlinks);
}

base::Result<ServerRecord> Read(int fd) {
  if (::lseek(fd, 0, SEEK_SET) < 0) return base::FailErrno("cannot read {}", kFile);
  return base::json::Parse<ServerRecord>(TRY(base::ReadToEnd(fd, kMaxRecord)))
      .WithContext("server.pid in the home directory is not what a server writes");
}

}  // namespace

base::Result<PidFile> PidFile::Take(int home_fd) {
  PidFile taken(TRY(Open(home_fd, O_RDWR | O_CREAT)));
  const base::Status locked = base::TryLock(taken.file_.get(), base::LockMode::kExclusive);
  if (locked) return taken;
  if (locked.error().code() != ErrorCode::kBusy) return locked.error();
  const auto record = Read(taken.file_.get());
  if (!record || record->urls.empty()) {
    return Fail(ErrorCode::kBusy, "another server of yours is just starting or ending: try again");
  }
  return Fail(
      ErrorCode::kBusy,
      "your server runs already, as process {} on {}: use it, or end it with msb server stop",
      record->pid, fmt::join(record->urls, ", "));
}

base::Status PidFile::Write(const ServerRecord& record) const {
  const std::string text = base::json::Write(record) + "\n";
  if (::ftruncate(file_.get(), 0) < 0) return base::FailErrno("cannot write {}", kFile);
  return base::PwriteFull(file_.get(), std::as_bytes(std::span(text)), 0);
}

base::Result<FoundServer> FindServer(int home_fd) {
  const base::UniqueFd file = TRY(Open(home_fd, O_RDWR));
  FoundServer found;
  found.running = TRY(base::IsLocked(file.get()));
  auto record = Read(file.get());
  if (record) found.record = *std::move(record);
  return found;
}

base::Result<bool> StopServer(int home_fd) {
  const auto found = FindServer(home_fd);
  if (!found && found.error().code() == ErrorCode::kNotFound) return false;
  if (!found) return found.error();
  if (!found->running) return false;
  const auto process = base::PidFdOpen(found->record.pid);
  // Whoever holds the lock now and wrote the same has lived all the time: the descriptor is its.
  const FoundServer again = TRY(FindServer(home_fd));
  if (!again.running) return true;
  if (!process || again.record.pid != found->record.pid || again.record.pid == 0) {
    return Fail(ErrorCode::kBusy, "the server is just starting or ending: try again");
  }
  TRY(base::PidFdSignal(process->get(), SIGTERM));
  pollfd ended = {.fd = process->get(), .events = POLLIN, .revents = 0};
  if (base::Retry([&] { return ::poll(&ended, 1, -1); }) < 0) {
    return base::FailErrno("cannot wait for the server's end");
  }
  return true;
}

}  // namespace msb::server
