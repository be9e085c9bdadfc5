// RunDirectory: where a sandbox keeps its lock, socket, state and log.
//
//   /run/msb/<id>/  (root)   or   $MSB_HOME/run/<id>/  (users)
//     lock         held (F_OFD_SETLK) while the sandbox runs: by the monitor and, through the same
//                  open file description, by every process that can touch its writable disk
//     control      the monitor's socket
//     state.json   src/sandbox/state.h
//     log, log.1   what a detached program wrote: src/sandbox/program_log.h
//   .names/<name>  src/sandbox/names.h
//   .placement/    src/sandbox/cpu_slots.h
//   .lock          shared: creating a directory; exclusive: reserving a name, removing a directory
//
// A directory whose lock nobody holds is a dead sandbox's. That of a detached one stays, so that
// its end and log can be looked at, until it is removed or the machine has booted anew; others are
// swept by the next msb. Thanks to `.lock` a directory is never swept before its owner has locked
// it.
#pragma once

#include <cstdint>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/state.h"

namespace msb::sandbox {

inline constexpr const char* kControlSocket = "control";

class RunDirectory {
 public:
  // The parent of all run directories for this user; created if missing.
  static base::Result<base::UniqueFd> OpenParent();
  // Of the parent; not taken yet.
  static base::Result<base::UniqueFd> OpenParentLock(int parent_fd);

  // Creates and locks. kExists if the id or the name is taken. An empty name: none is reserved;
  // kMakeUp: one of our own choice.
  static constexpr const char* kMakeUp = "*";
  static base::Result<RunDirectory> Create(const std::string& id, const std::string& name = "");

  RunDirectory(RunDirectory&&) = default;
  RunDirectory& operator=(RunDirectory&&) = default;
  ~RunDirectory();  // removes the directory and releases the name, unless it is kept

  int fd() const { return directory_.get(); }
  int parent_fd() const { return parent_.get(); }
  int lock_fd() const { return lock_.get(); }
  const std::string& name() const { return name_; }
  // Sets aside what writing a state like this needs, until ReleaseRoom: the last one must not fail
  // because the file system is full by then.
  void ReserveRoom(const State& state) const;
  void ReleaseRoom() const;
  base::Status WriteState(const State& state) const;
  // The sandbox has ended; what was written of it stays, and its name.
  void Keep() { parent_.Reset(); }

 private:
  RunDirectory() = default;
  base::Status TakeName(const std::string& name);

  std::string id_;
  std::string name_;
  base::UniqueFd parent_;
  base::UniqueFd directory_;
  base::UniqueFd lock_;
};

// True for what is named like a sandbox's id: 32 lower-case hexadecimal digits.
bool IsSandboxId(std::string_view name);

// What nobody needs any more: its owner is dead, and nothing is to be shown of it. Callers that act
// on it hold `.lock`.
bool IsGarbage(int parent_fd, const std::string& id);

// Removes what dead sandboxes left. Never waits; errors are ignored but logged.
void SweepRunDirectories();

}  // namespace msb::sandbox
