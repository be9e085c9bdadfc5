// `msb image import`: an image of one layer from a root file system, a tar (plain, gzip, zstd) or a
// directory. The tar is kept byte for byte as the layer; configuration and manifest are written so
// that the same input gives the same digest. One thread. Errors: those of what it uses.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/image/load.h"

namespace msb::image {

struct ImportOptions {
  std::vector<std::string> names;  // TaggedName; at least one
  ImageConfig config;              // entrypoint, cmd, env, workdir, user, stop_signal
};

// `path`: a directory, a tar, or "-" for a tar on standard input.
base::Result<LoadedImage> ImportRootFs(const std::string& path, const ImportOptions& options,
                                       StoreWriter& writer, Progress& progress);

}  // namespace msb::image
