// Conversion of one layer: a tar (plain, gzip or zstd) to a blob and an index (layer_index.h).
//
// Names are normalized here: a leading "/" and "." components go (the layer's root is the image's),
// ".." is refused, bytes are kept. Whether a parent is a link or exists at all is decided when
// layers are merged.
//
// Runs in the jail; a function from descriptors to descriptors, so that tests and fuzzers call it
// too. Input is hostile. On an error the outputs hold nothing of value. Errors: kCorrupt, kInvalid,
// kUnsupported, kLimit, naming the entry; kNoSpace if the outputs cannot grow.
#pragma once

#include <cstdint>

#include "src/base/result.h"
#include "src/image/layer_index.h"

namespace msb::image {

struct LayerLimits {
  uint64_t max_tar_bytes = kMaxExpandedBytes;
  uint32_t max_entries = kMaxEntries;
};

// Reads `source_fd` to its end (a pipe or a file, from its position). The outputs are empty regular
// files at position 0.
base::Status ConvertLayer(int source_fd, int blob_fd, int index_fd, const LayerLimits& limits = {});

}  // namespace msb::image
