// ForeignMounts: whether looking up a path may wait for a program of the workload, or for another
// machine: where anything is mounted but what the kernel itself serves.
//
// A hint, for what would rather not wait: a mount that comes a moment later, or that is reached
// through a link or another mount namespace, is not seen. Owned by the Server; one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/base/event_loop.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

// Their mount points, from the lines of mountinfo (proc_pid_mountinfo(5)).
std::vector<std::string> FindForeignMounts(std::string_view mountinfo);

class ForeignMounts {
 public:
  // Opened here and never again: the workload, once it runs, can put anything at its path. Looked
  // at again only when it has changed, if it is a file that says so.
  void Follow(base::EventLoop& loop, const std::string& path);
  bool Any() { return !Current().empty(); }
  // The mount point that the path is below, by its name; empty: none.
  std::string MountOf(std::string_view path);

 private:
  const std::vector<std::string>& Current();

  bool followed_ = false;  // nothing is mounted before
  base::UniqueFd mountinfo_;
  base::Watch watch_;
  bool changed_ = true;
  std::vector<std::string> mounts_;
};

}  // namespace msb::agent
