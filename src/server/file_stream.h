// Files of a guest, piece by piece: read, written, listed, for coroutines. Owned by the call that
// uses it; one thread. Bounded: what is not taken stops the guest. Errors: those of the agent
// (guest.h); kClosed when the call is cancelled.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "src/agent/client/file_transfer.h"
#include "src/server/api/files.h"
#include "src/server/async.h"
#include "src/server/backlog.h"
#include "src/server/guest.h"
#include "src/server/service.h"

namespace msb::server {

class FileReading {
 public:
  static constexpr size_t kMaxWaiting = 256 * 1024;

  explicit FileReading(Guest& guest) : guest_(guest), changed_(guest.loop().executor()) {}
  FileReading(const FileReading&) = delete;

  base::Status Open(const agent::ReadFile& read);
  // What the file was like when it was opened.
  Async<base::Result<agent::FileStatus>> Status(Cancellation& cancellation);
  // Empty: that was all.
  Async<base::Result<std::string>> Next(Cancellation& cancellation);

 private:
  Guest& guest_;
  Event changed_;
  Backlog<std::string> pieces_{kMaxWaiting};
  bool done_ = false;
  std::optional<agent::FileStatus> status_;
  std::optional<base::Error> failed_;
  std::unique_ptr<agent::FileTransfer> transfer_;
};

class FileWriting {
 public:
  explicit FileWriting(Guest& guest) : guest_(guest), changed_(guest.loop().executor()) {}
  FileWriting(const FileWriting&) = delete;

  base::Status Open(const agent::WriteFile& write);
  // Waits until the guest has taken it.
  Async<base::Status> Put(std::string_view data, Cancellation& cancellation);
  // All was given; what the file is like now.
  Async<base::Result<agent::FileStatus>> Finish(Cancellation& cancellation);

 private:
  Guest& guest_;
  Event changed_;
  std::optional<base::Result<agent::FileStatus>> result_;
  std::unique_ptr<agent::FileTransfer> transfer_;
};

// At most `most` entries.
Async<base::Result<api::FileList>> ListGuestDirectory(Guest& guest, agent::ListDirectory list,
                                                      size_t most, const Call& call);

}  // namespace msb::server
