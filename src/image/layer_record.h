// Layer record: that a layer has been converted, and what came out; converted/1/<layer>.layer. It
// is written last, so a layer with a record is complete. Values. Errors: kCorrupt.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include "src/base/result.h"

namespace msb::image {

struct LayerRecord {
  uint32_t format = 1;
  std::string digest;  // of the source, as the trusted side hashed it
  uint64_t bytes = 0;
  std::string diff_id;  // of the uncompressed tar, as the jailed converter says
  uint64_t tar_bytes = 0;
  std::string blob_digest;
  uint64_t blob_bytes = 0;
  std::string index_digest;
  uint64_t index_bytes = 0;
  uint32_t entries = 0;
  uint64_t left_out_xattrs = 0;
};
BOOST_DESCRIBE_STRUCT(LayerRecord, (),
                      (format, digest, bytes, diff_id, tar_bytes, blob_digest, blob_bytes,
                       index_digest, index_bytes, entries, left_out_xattrs))

base::Result<LayerRecord> ParseLayerRecord(std::string_view text);

}  // namespace msb::image
