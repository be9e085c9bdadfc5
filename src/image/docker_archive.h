// Docker-archives: what `docker save` wrote before version 25, and what skopeo and podman write as
// `docker-archive:`. manifest.json lists images, each a configuration and layers by path; there are
// no descriptors, so sizes and digests are what they are, but for what the configuration says the
// layers expand to. Docker, "Image Tarball Format" 1.2 and the code that reads it.
//
// Loading makes an OCI manifest of it, the same for the same bytes. One thread. Errors: kCorrupt
// for what is not as the format says, those of what it uses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/image/layer_load.h"
#include "src/image/layout_source.h"
#include "src/image/oci.h"
#include "src/image/progress.h"
#include "src/image/store_writer.h"

namespace msb::image {

inline constexpr const char* kDockerManifestFile = "manifest.json";

struct DockerImage {
  std::string config;               // path within the archive
  std::vector<std::string> tags;    // as written there, "name:tag"
  std::vector<std::string> layers;  // paths, the lowest first
};

// The images that a manifest.json lists. Paths are relative and stay within the archive, as
// written: links are the reader's affair.
base::Result<std::vector<DockerImage>> DecodeDockerManifest(std::string_view text);

// Brings configuration, layers and a manifest made of them; the manifest's descriptor.
base::Result<Descriptor> LoadDockerImage(const LayoutSource& archive, const DockerImage& image,
                                         StoreWriter& writer, Progress& progress);

}  // namespace msb::image
