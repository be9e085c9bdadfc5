// What `load` and `import` do for images of whatever format: bring one layer from where it is, and
// the documents that describe the image. One thread. Errors: kCorrupt where bytes are not what they
// should be, those of the source and of the store.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/image/layout_source.h"
#include "src/image/oci.h"
#include "src/image/progress.h"
#include "src/image/store_writer.h"

namespace msb::image {

struct LayerToLoad {
  std::string path;                  // within the source
  std::string label;                 // for people, who watch it being loaded
  std::optional<Expected> expected;  // absent: its digest is not known beforehand
  size_t number = 1;                 // of `count`
  size_t count = 1;
};

// Converts a layer, or finds it converted, and checks that it expands to `diff_id`.
base::Result<LayerRecord> LoadLayer(const LayoutSource& source, const LayerToLoad& layer,
                                    const std::string& diff_id, StoreWriter& writer,
                                    Progress& progress);

// Writes a manifest made here, whose configuration is in the store already, and merges the image.
// Returns the manifest's descriptor.
base::Result<Descriptor> AddManifest(const Manifest& manifest,
                                     const std::vector<LayerRecord>& layers,
                                     const ConfigFile& config, StoreWriter& writer);

}  // namespace msb::image
