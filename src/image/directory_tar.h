// A directory as a tar: what `msb image import DIR` feeds to conversion.
//
// Sorted by name, numeric owners, attributes and holes kept, hard links within the directory kept;
// sockets are left out, and so is what is mounted below. Links are never followed: every name is
// opened from the descriptor of its directory. The same directory gives the same bytes. One thread.
// Errors: kInvalid if a file changes while it is read, those of the system calls, with the path.
#pragma once

#include "src/base/result.h"
#include "src/image/tar_writer.h"

namespace msb::image {

base::Status WriteDirectoryTar(int directory_fd, TarWriter::Sink sink);

}  // namespace msb::image
