// Members of a tar out of files: their metadata, and where the data of a sparse file is.
//
// Any thread. Errors: those of the system calls.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/image/tar_reader.h"

namespace msb::image {

std::optional<MemberKind> KindOfMode(mode_t mode);  // nothing for a socket

// All that stat(2) knows of it; a link's target is not set.
TarMember DescribeMember(const struct stat& status, std::string name);

base::Result<std::string> ReadLinkAt(int directory_fd, const std::string& name);

// The data between the holes; one segment where the file system knows of none.
base::Result<std::vector<SparseSegment>> DataSegments(int fd, uint64_t size);

}  // namespace msb::image
