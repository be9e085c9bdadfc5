// EROFS metadata of a tree whose file contents are in layer blobs.
//
// The volume is this metadata, then the blobs, each at a block boundary: files name absolute blocks
// (32 bits of 4 KiB). Inodes come first, the root's first of all; short directories and links are
// inline behind their inode; longer directories and links follow in blocks of their own.
// spec/images.md, "EROFS over layer blobs".
//
// Runs in the jail. One thread. Errors: kLimit if the volume is larger than EROFS can address,
// those of write(2).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "src/base/result.h"
#include "src/image/tree.h"

namespace msb::image {

using VolumeUuid = std::array<uint8_t, 16>;

// `metadata_fd`: an empty regular file, readable and writable, at position 0. `blob_bytes`: of each
// layer, in order. The file's size is a multiple of 4096 afterwards.
base::Status WriteErofs(const Tree& tree, std::span<const uint64_t> blob_bytes,
                        const VolumeUuid& uuid, int metadata_fd);

}  // namespace msb::image
