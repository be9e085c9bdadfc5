#include "src/image/layer_record.h"

#include "src/base/json.h"
#include "src/image/layer_index.h"
#include "src/image/reference.h"

namespace msb::image {

base::Result<LayerRecord> ParseLayerRecord(std::string_view text) {
  auto record = base::json::Parse<LayerRecord>(text);
  if (!record) {
    return base::Fail(base::ErrorCode::kCorrupt, "layer record: {}", record.error().message());
  }
  if (record->format != kIndexFormat || !IsDigest(record->digest) || !IsDigest(record->diff_id) ||
      !IsDigest(record->blob_digest) || !IsDigest(record->index_digest) ||
      record->blob_bytes % kBlockSize != 0 || record->blob_bytes > kMaxBlobBytes) {
    return base::Fail(base::ErrorCode::kCorrupt, "layer record: bad value");
  }
  return record;
}

}  // namespace msb::image
