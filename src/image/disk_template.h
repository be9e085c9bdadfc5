// Templates of disks, packed: what is not zero of a formatted disk, so that an installation has no
// sparse files, which not every tool that copies or archives it would keep sparse.
//
//   "msbdisk1" | u64 size of the disk | u64 count | count × (u64 offset, u64 length) | the bytes
// Little-endian; extents in order, multiples of 4096. Written by pack-disk when the product is
// built; part of the installation, and yet checked. Any thread. Errors: kCorrupt, kNotFound, those
// of writing.
#pragma once

#include <string>

#include "src/base/result.h"

namespace msb::image {

// Makes the empty file `disk_fd` what the template at `path` says; its size is the template's.
base::Status UnpackDisk(const std::string& path, int disk_fd);

}  // namespace msb::image
