// `msb image load`: every image and every tag of an OCI layout or archive, or of a docker-archive
// (docker_archive.h). index.json wins where there is manifest.json, too.
//
// Of an index for several platforms the one for linux/amd64 is taken. Names: containerd's
// annotation, else OCI's, or RepoTags; names that the user gives are added where there is exactly
// one image. Nothing is visible unless everything could be loaded. Gives up the writer's lock: it
// is for one call. spec/images.md, "Loading". One thread. Errors: those of what it uses; kInvalid
// for names.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/image/layout_source.h"
#include "src/image/progress.h"
#include "src/image/store_writer.h"

namespace msb::image {

struct LoadedImage {
  std::vector<std::string> names;  // TaggedName; none: known by its digest
  std::string digest;
};

base::Result<std::vector<LoadedImage>> LoadLayout(const LayoutSource& layout,
                                                  const std::vector<std::string>& tags,
                                                  StoreWriter& writer, Progress& progress);

}  // namespace msb::image
