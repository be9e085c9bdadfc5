// msb-convert: layers to blobs and indexes, indexes to EROFS metadata, in a jail of its own.
// Protocol: convert_protocol.h. Exit code 0, or 1 with a report.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <new>
#include <string_view>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/image/convert_jail.h"
#include "src/image/convert_protocol.h"
#include "src/image/layer_convert.h"
#include "src/image/merge.h"

namespace msb::image {
namespace {

base::Error Usage() {
  return base::Fail(base::ErrorCode::kInvalid, "usage: msb-convert layer BYTES | merge UUID COUNT");
}

base::Status RunLayer(const char* max_bytes) {
  LayerLimits limits;
  limits.max_tar_bytes = std::strtoull(max_bytes, nullptr, 10);
  return ConvertLayer(kLayerSource, kLayerBlob, kLayerIndex, limits);
}

base::Status RunMerge(std::string_view uuid_hex, const char* count) {
  const auto uuid_bytes = base::HexDecode(uuid_hex);
  const unsigned long layers = std::strtoul(count, nullptr, 10);
  VolumeUuid uuid;
  if (!uuid_bytes || uuid_bytes->size() != uuid.size() || layers > kMaxLayers) return Usage();
  std::copy(uuid_bytes->begin(), uuid_bytes->end(), uuid.begin());
  std::vector<int> indexes;
  for (size_t i = 0; i < layers; ++i) indexes.push_back(kMergeFirstIndex + static_cast<int>(i));
  return MergeLayers(indexes, uuid, kMergeMetadata);
}

void Report(const base::Error& error) { (void)base::WriteFull(kReportFd, EncodeFailure(error)); }

// What the limit of the address space means to operator new. The message needs little memory
// itself.
void OutOfMemory() {
  std::set_new_handler(nullptr);
  Report(base::Error(base::ErrorCode::kLimit, "needs too much memory to convert"));
  ::_exit(1);
}

base::Status Run(int argc, char** argv) {
  std::set_new_handler(OutOfMemory);
  ::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit is an error, not a death
  TRY(EnterConvertSeccomp());
  if (argc == 3 && std::string_view(argv[1]) == "layer") return RunLayer(argv[2]);
  if (argc == 4 && std::string_view(argv[1]) == "merge") return RunMerge(argv[2], argv[3]);
  return Usage();
}

}  // namespace
}  // namespace msb::image

int main(int argc, char** argv) {
  const msb::base::Status status = msb::image::Run(argc, argv);
  if (status) return 0;
  msb::image::Report(status.error());
  return 1;
}
