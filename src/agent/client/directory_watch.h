// DirectoryWatch: the changes in one directory of the guest, over a stream of its own.
//
// Owned by its user; single thread, on its event loop. A callback may destroy it; destroying it
// ends the watch. on_failed is called at most once, last: kNotFound when the directory is gone.
// Names are the guest's, checked as in a listing (file_transfer.h); what they say is not believed
// to be true.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class DirectoryWatch {
 public:
  struct Callbacks {
    std::function<void(const FileStatus&)> on_watching;  // changes from here on are told
    std::function<void(std::span<const FileChange>)> on_changes;
    std::function<void(const Failure&)> on_failed;  // required
  };

  static base::Result<std::unique_ptr<DirectoryWatch>> Begin(base::EventLoop& loop,
                                                             base::UniqueFd stream,
                                                             const WatchFiles& request,
                                                             Callbacks callbacks);
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;

  void Pause();  // no on_changes until Resume; the guest keeps some, and says if it lost more
  void Resume();

 private:
  class Impl;
  explicit DirectoryWatch(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace msb::agent
