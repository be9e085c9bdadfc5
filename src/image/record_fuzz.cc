// The small files of the store, and the report of the jailed converter.
#include "src/base/json.h"
#include "src/image/convert_protocol.h"
#include "src/image/layer_record.h"
#include "src/image/run_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace msb;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto run = image::ParseRunRecord(text)) {
    CHECK(image::ParseRunRecord(base::json::Write(*run)).has_value());
  }
  if (const auto layer = image::ParseLayerRecord(text)) {
    CHECK(image::ParseLayerRecord(base::json::Write(*layer)).has_value());
  }
  CHECK(!image::DecodeFailure(text).message().contains('\033'));
  return 0;
}
