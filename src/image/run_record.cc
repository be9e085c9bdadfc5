#include "src/image/run_record.h"

#include "src/base/json.h"
#include "src/image/layer_index.h"
#include "src/image/reference.h"

namespace msb::image {
namespace {

base::Error Corrupt(std::string_view what) {
  return base::Fail(base::ErrorCode::kCorrupt, "run record: {}", what);
}

}  // namespace

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

base::Result<RunRecord> ParseRunRecord(std::string_view text) {
  auto parsed = base::json::Parse<RunRecord>(text);
  if (!parsed) return Corrupt(parsed.error().message());
  if (parsed->format != kRunRecordFormat) {
    return base::Fail(base::ErrorCode::kUnsupported,
                      "run record: format {} was written by another version", parsed->format);
  }
  const bool metadata_ok = IsUuid(parsed->uuid) && IsDigest(parsed->metadata_digest) &&
                           parsed->metadata_bytes > 0 && parsed->metadata_bytes % kBlockSize == 0;
  if (!metadata_ok) return Corrupt("bad metadata");
  for (const RunLayer& layer : parsed->layers) {
    if (!IsDigest(layer.digest) || layer.blob_bytes % kBlockSize != 0 ||
        layer.blob_bytes > kMaxBlobBytes) {
      return Corrupt("bad layer");
    }
  }
  return parsed;
}

}  // namespace msb::image
