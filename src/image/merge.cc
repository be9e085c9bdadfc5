#include "src/image/merge.h"

#include <string>
#include <vector>

#include "src/base/sys.h"

namespace msb::image {

base::Status MergeLayers(std::span<const int> index_fds, const VolumeUuid& uuid, int metadata_fd) {
  if (index_fds.size() > kMaxLayers) {
    return base::Fail(base::ErrorCode::kLimit, "the image has more than {} layers", kMaxLayers);
  }
  std::vector<std::string> indexes;  // the tree points into them
  indexes.reserve(index_fds.size());
  std::vector<uint64_t> blob_bytes;
  Tree tree;
  for (const int fd : index_fds) {
    indexes.push_back(TRY(base::ReadToEnd(fd, kIndexHeaderSize + kMaxIndexBytes)));
    blob_bytes.push_back(TRY(DecodeHeader(indexes.back())).blob_bytes);
    TRY(tree.Apply(indexes.back(), static_cast<uint32_t>(blob_bytes.size() - 1)));
  }
  return WriteErofs(tree, blob_bytes, uuid, metadata_fd);
}

}  // namespace msb::image
