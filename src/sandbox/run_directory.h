// RunDirectory: where a running sandbox keeps its lock, socket and state.
//
//   /run/msb/<id>/  (root)   or   $MSB_HOME/run/<id>/  (users)
//     lock         held (F_OFD_SETLK) while the sandbox runs: by the monitor and, through the same
//     open
//                  file description, by every process that can touch its writable disk
//     control      the monitor's socket
//     state.json   who runs; replaced by rename, void if it is from another boot
//
// A directory whose lock nobody holds is a dead sandbox's; SweepRunDirectories removes it. Creating
// and sweeping exclude each other by a lock on the parent directory's file `.lock`, so that a
// directory is never swept before its owner has locked it.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::sandbox {

struct State {
  int version = 1;
  std::string id;
  std::string name;
  std::string boot_id;
  std::string engine;
  std::string image;
  int32_t monitor_pid = 0;
  uint64_t monitor_start_time = 0;  // clock ticks since boot
  int32_t vmm_pid = 0;
  int32_t guest_pid = 0;
  std::string status;  // "starting", "running", "stopping"
};
BOOST_DESCRIBE_STRUCT(State, (),
                      (version, id, name, boot_id, engine, image, monitor_pid, monitor_start_time,
                       vmm_pid, guest_pid, status))

class RunDirectory {
 public:
  // The parent of all run directories for this user; created if missing.
  static base::Result<base::UniqueFd> OpenParent();

  // Creates and locks. kExists if the id is taken.
  static base::Result<RunDirectory> Create(const std::string& id);

  RunDirectory(RunDirectory&&) = default;
  RunDirectory& operator=(RunDirectory&&) = default;
  ~RunDirectory();  // removes the directory, unless released

  int fd() const { return directory_.get(); }
  int lock_fd() const { return lock_.get(); }
  base::Status WriteState(const State& state) const;

 private:
  RunDirectory() = default;
  std::string id_;
  base::UniqueFd parent_;
  base::UniqueFd directory_;
  base::UniqueFd lock_;
};

// Removes what dead sandboxes left. Never waits; errors are ignored but logged.
void SweepRunDirectories();

}  // namespace msb::sandbox
