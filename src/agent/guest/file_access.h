// With whose rights the agent touches files, and what it says of them.
#pragma once

#include <sys/stat.h>

#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/protocol.h"

namespace msb::agent {

// The file-system identity of the agent, for as long as this lives: another user's rights. Of the
// calling thread. Not nested.
class ActingAs {
 public:
  explicit ActingAs(const Identity& identity);
  ~ActingAs();
  ActingAs(const ActingAs&) = delete;

 private:
  const bool active_;
};

// No mask for as long as this lives: modes are the host's choice, not the agent's.
class NoUmask {
 public:
  NoUmask() : old_(::umask(0)) {}
  ~NoUmask() { ::umask(old_); }
  NoUmask(const NoUmask&) = delete;

 private:
  const mode_t old_;
};

// kInvalid unless it is absolute, and short enough to be a path.
Outcome<void> CheckPath(const base::Bytes& path);

FileStatus StatusOf(const struct stat& status);

}  // namespace msb::agent
