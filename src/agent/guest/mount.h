// Mount calls with errors that name the thing. One thread; paths as the caller's root sees them.
#pragma once

#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

base::Status MountAt(const std::string& source, const std::string& target, const char* type,
                     unsigned long flags, const std::string& options = "");
// mkdir and mount. The place is in the image: a directory, or missing (then it is made), not
// anything else.
base::Status MountInImage(const std::string& source, const std::string& target, const char* type,
                          unsigned long flags, const std::string& options = "");
// A detached copy of the mount at `path` below `dir_fd`, to be put somewhere by PutMount.
base::Result<base::UniqueFd> CloneMount(int dir_fd, const std::string& path);
// The mount itself, taken from where it is by PutMount.
base::Result<base::UniqueFd> TakeMount(const std::string& path);
base::Status PutMount(int mount_fd, const std::string& target);
// Makes the file system read-only, for all its mounts. `root_fd`: its root directory.
base::Status MakeReadOnly(int root_fd);
// A directory of the image: created, with its parents, where it is missing.
base::Status EnsureDirectory(const std::string& path, mode_t mode = 0755);

}  // namespace msb::agent
