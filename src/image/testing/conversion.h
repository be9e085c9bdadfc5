// Conversion in memory, and the result read back: what tests and fuzzers of conversion look at.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/image/converter.h"
#include "src/image/layer_convert.h"
#include "src/image/layer_index.h"

namespace msb::image::testing {

struct ConvertedLayer {
  std::string blob;
  std::string index;
};

base::Result<ConvertedLayer> Convert(std::string_view layer, const LayerLimits& limits = {});

// The flat volume: metadata, then the blobs. Aborts nothing: errors of the merge are returned.
base::Result<std::string> Merge(const std::vector<ConvertedLayer>& layers);

// An entry as a kernel would see it.
struct VolumeFile {
  uint32_t inode = 0;
  uint16_t mode = 0;  // with the type
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t links = 0;
  int64_t mtime = 0;
  uint32_t mtime_nsec = 0;
  uint64_t size = 0;
  uint32_t device = 0;
  std::string content;  // of files; the target of links
  uint64_t hole_bytes = 0;
  std::map<std::string, std::string> xattrs;  // "4:overlay.opaque": namespace number and suffix
};

// Reads an EROFS volume strictly: anything a kernel would reject, and a name out of order, is an
// error. By path, the root as "".
base::Result<std::map<std::string, VolumeFile>> ReadVolume(std::string_view volume);

// Layers to files, for tests about trees.
base::Result<std::map<std::string, VolumeFile>> Build(const std::vector<std::string>& tars);

// Converts on a thread of this process.
std::unique_ptr<Converter> MakeThreadConverter();

}  // namespace msb::image::testing
