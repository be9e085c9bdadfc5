// Hostile indexes: refused, or merged into a volume that reads well. The input is two indexes, the
// length of the first before them; their blobs are as long as they claim, zeroes.
#include "src/image/little_endian.h"
#include "src/image/testing/conversion.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace msb::image;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.size() < 4) return 0;
  const size_t first = std::min<size_t>(Load32(input.data()), input.size() - 4);
  input.remove_prefix(4);
  std::vector<testing::ConvertedLayer> layers = {{"", std::string(input.substr(0, first))},
                                                 {"", std::string(input.substr(first))}};
  if (layers.back().index.empty()) layers.pop_back();
  for (testing::ConvertedLayer& layer : layers) {
    const auto header = DecodeHeader(layer.index);
    if (!header || header->blob_bytes > (4 << 20)) return 0;
    layer.blob.resize(header->blob_bytes);
  }
  const auto volume = testing::Merge(layers);
  if (volume) CHECK(testing::ReadVolume(*volume).has_value());
  return 0;
}
