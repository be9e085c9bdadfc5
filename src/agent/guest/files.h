// Files of the guest, read, written, described and listed for the host, with the rights of a user.
//
// Only regular files are read and written: a FIFO or a device could stop the agent. Reading and
// writing happen piece by piece, as the connection takes and brings data. Owned by a Session; one
// thread (the user's identity is put on and taken off around each look-up).
#pragma once

#include <dirent.h>

#include <memory>
#include <string>
#include <string_view>

#include "src/agent/frame.h"
#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/protocol.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

Outcome<FileStatus> DescribeFile(const StatFile& request, const Identity& identity);

// What is sent to the host in pieces, each when the one before has left.
class Transfer {
 public:
  virtual ~Transfer() = default;
  // Appends the next frames (some 64 KiB); false when there are none left.
  virtual bool Fill(FrameQueue& queue) = 0;
};

struct OpenedFile {
  FileStatus status;
  std::unique_ptr<Transfer> transfer;
};
Outcome<OpenedFile> OpenForReading(const ReadFile& request, const Identity& identity);
// Ends with the Reply to `seq`.
Outcome<std::unique_ptr<Transfer>> OpenDirectory(const ListDirectory& request,
                                                 const Identity& identity, uint32_t seq);

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
