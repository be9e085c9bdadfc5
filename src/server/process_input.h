// ProcessInput: the standard input of a process that outlives calls: an attachment of the server's
// own, kept from write to write, since input belongs to one attachment at a time. What the process
// writes is read by it, too, and dropped: others have attachments of their own.
//
// Owned by the Instance; one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "src/agent/client/attachment.h"
#include "src/base/result.h"
#include "src/server/async.h"
#include "src/server/guest.h"
#include "src/server/lock.h"

namespace msb::server {

class ProcessInput {
 public:
  static base::Result<std::shared_ptr<ProcessInput>> Open(Guest& guest, const std::string& process);
  ProcessInput(const ProcessInput&) = delete;

  // Waits until all of it was taken. `eof`: nothing follows.
  Async<base::Status> Write(std::string data, bool eof, Cancellation& cancellation);
  // The process has ended, or its input belongs to somebody else.
  bool closed() const { return closed_.has_value(); }

 private:
  explicit ProcessInput(Guest& guest)
      : lock_(guest.loop().executor()), changed_(guest.loop().executor()) {}

  Lock lock_;
  Event changed_;
  std::optional<base::Error> closed_;
  std::unique_ptr<agent::Attachment> attachment_;
};

}  // namespace msb::server
