// Files of the guest, read, written and described for the host, with the rights of a user.
//
// Only regular files are read and written: a FIFO or a device could stop the agent. Reading and
// writing happen piece by piece, as the connection takes and brings data. Owned by a Session; one
// thread (the user's identity is put on and taken off around each look-up).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/guest/transfer.h"
#include "src/agent/protocol.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

Outcome<FileStatus> DescribeFile(const StatFile& request, const Identity& identity);

struct OpenedFile {
  FileStatus status;
  std::unique_ptr<Transfer> transfer;
};
Outcome<OpenedFile> OpenForReading(const ReadFile& request, const Identity& identity);

class FileReceiver {
 public:
  static Outcome<std::unique_ptr<FileReceiver>> Create(const WriteFile& request,
                                                       const Identity& identity);
  Outcome<void> Write(std::string_view data);
  Outcome<FileStatus> Finish();

 private:
  explicit FileReceiver(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

}  // namespace msb::agent
