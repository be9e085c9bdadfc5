// A layer that converts has an index that merges into a volume that reads well.
#include "src/image/testing/conversion.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace msb::image;
  LayerLimits limits;
  limits.max_tar_bytes = 16 << 20;
  limits.max_entries = 2000;
  const auto layer = testing::Convert({reinterpret_cast<const char*>(data), size}, limits);
  if (!layer) return 0;
  const auto volume = testing::Merge({*layer});
  if (volume) CHECK(testing::ReadVolume(*volume).has_value());
  return 0;
}
