// FileWatch: what changes in a directory of the guest, for the host: inotify(7) on it and, if asked
// for, on all directories below.
//
// Owned by a FileServant, one thread. Nothing is read from the kernel's queue, which is bounded,
// while the host does not read; what that loses is said. A directory that comes is watched first
// and then listed, so that nothing in it is missed: what appears meanwhile may be told twice.
#pragma once

#include <sys/inotify.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/agent/frame.h"
#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/protocol.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class FileWatch {
 public:
  enum class Filled { kMore, kQuiet, kOver };

  // The status of the directory comes back.
  struct Begun {
    std::unique_ptr<FileWatch> watch;
    FileStatus status;
  };
  static Outcome<Begun> Begin(const WatchFiles& request, const Identity& identity);

  // Readable when Fill has something to say again.
  int fd() const { return inotify_.get(); }

  // Appends what happened since the last call, at most some 64 KiB of it.
  Filled Fill(FrameQueue& queue);

 private:
  FileWatch(const WatchFiles& request, const Identity& identity)
      : recursive_(request.recursive), identity_(identity), path_(request.path.data) {}

  // `name` is relative to the top, "" for that itself. `found`: what is in it is told as created.
  base::Status Add(base::UniqueFd directory, const std::string& name,
                   std::vector<FileChange>* found);
  base::Status AddBelow(base::UniqueFd directory, const std::string& name,
                        std::vector<FileChange>* found);
  base::Result<base::UniqueFd> OpenTop() const;
  base::Status AddNew(const std::string& name, std::vector<FileChange>& changes);
  void AddLater(const std::string& name, std::vector<FileChange>& changes);
  void Forget(const std::string& name);  // and all below
  void Erase(int number);
  void Take(const inotify_event& event, std::string_view file, std::vector<FileChange>& changes);
  void Overflow(std::vector<FileChange>& changes);

  const bool recursive_;
  const Identity identity_;
  const std::string path_;
  dev_t device_ = 0;
  ino_t top_inode_ = 0;
  base::UniqueFd inotify_;
  std::unordered_map<int, std::string> names_;  // by watch descriptor
  size_t name_bytes_ = 0;
  size_t looked_at_ = 0;  // entries, since the last event was taken
  bool gone_ = false;     // the directory itself
};

}  // namespace msb::agent
