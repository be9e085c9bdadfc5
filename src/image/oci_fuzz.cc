// Documents of a layout, whatever they are taken for.
#include "src/image/docker_archive.h"
#include "src/image/index_edit.h"
#include "src/image/oci.h"
#include "src/image/store.h"
#include "src/image/store_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace msb::image;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (size_t layers = 0; layers < 3; ++layers) {
    if (const auto config = DecodeConfig(text, layers)) (void)ConfigOf(*config);
  }
  if (const auto images = DecodeDockerManifest(text)) {
    for (const DockerImage& image : *images) CHECK(!image.config.empty());
  }
  const auto document = ParseDocument(text);
  if (!document) return 0;
  (void)KindOfDocument(*document, Descriptor());
  (void)DecodeManifest(*document);
  if (const auto index = DecodeIndex(*document)) {
    for (const Descriptor& manifest : index->manifests) {
      (void)MayRunHere(manifest);
      (void)IsAttachment(manifest);
    }
  }
  if (!EntriesOf(text)) return 0;
  // What can be read can be edited, and stays readable.
  Descriptor manifest;
  manifest.digest = "sha256:" + std::string(64, 'a');
  const auto added = AddToIndex(text, manifest, {"docker.io/library/a:latest"});
  CHECK(added && FindEntry(*EntriesOf(*added), "a").has_value());
  const auto removed = RemoveFromIndex(*added, "docker.io/library/a:latest", manifest.digest);
  CHECK(removed && !FindEntry(*EntriesOf(*removed), "a").has_value());
  return 0;
}
