// Merging: the indexes of an image's layers to the EROFS metadata of the image.
//
// Runs in the jail; a function over descriptors, so that tests and fuzzers call it too. The indexes
// are hostile. Errors: kCorrupt, kInvalid, kLimit, naming layer and entry; kNoSpace.
#pragma once

#include <span>

#include "src/base/result.h"
#include "src/image/erofs_writer.h"

namespace msb::image {

inline constexpr size_t kMaxLayers = 200;  // descriptors of a disk must fit into one message

// Index descriptors bottom first, each at its beginning. `metadata_fd`: see WriteErofs.
base::Status MergeLayers(std::span<const int> index_fds, const VolumeUuid& uuid, int metadata_fd);

}  // namespace msb::image
