// Directories of the root that are not overlayfs but plain directories of the writable disk, bound
// over their place: the image's VOLUMEs, /tmp, and the stores of container engines (overlayfs does
// not nest).
//
// Each is seeded once with what the image has in its place: built beside, then renamed, so that a
// machine that dies half-way begins again. /var/lib/docker and /var/lib/containerd are bound where
// the image has them, or the daemon that would make them: making them in every sandbox would copy
// /var and /var/lib up at each start, for nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/result.h"

namespace msb::agent {

// The name of a directory's store on the disk: one component, different for different paths.
std::string PlainName(std::string_view path);
// The path without doubled and trailing slashes. Errors: kInvalid, naming it, if it is not
// absolute, is the root, or has "." or ".." in it.
base::Result<std::string> CleanPath(std::string_view path);
// True below /proc, /sys, /dev and /run: file systems of their own, never overlayfs.
bool IsSpecial(std::string_view clean_path);

// `disk_fd`: root of the writable file system, with the directory `plain`. `durable`: somebody will
// mount the disk again.
base::Status BindPlainDirectories(int disk_fd, const std::vector<base::Bytes>& volumes,
                                  bool durable);

}  // namespace msb::agent
