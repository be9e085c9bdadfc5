// A reference that is accepted reads back as itself, in full and in short.
#include "src/image/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto reference = msb::image::ParseReference(text);
  if (!reference) return 0;
  const auto full = msb::image::ParseReference(reference->FullName());
  CHECK(full && full->FullName() == reference->FullName());
  const auto shortened = msb::image::ParseReference(reference->ShortName());
  CHECK(shortened && shortened->FullName() == reference->FullName());
  return 0;
}
