#include "src/image/layer_load.h"

namespace msb::image {

using base::ErrorCode;
using base::Fail;

base::Result<LayerRecord> LoadLayer(const LayoutSource& source, const LayerToLoad& layer,
                                    const std::string& diff_id, StoreWriter& writer,
                                    Progress& progress) {
  const auto produce = [&](const Sink& sink) -> base::Status {
    const SourceFile file = TRY(source.Open(layer.path));
    if (layer.expected && file.size != layer.expected->size) {
      return Fail(ErrorCode::kCorrupt, "layer {} has {} bytes, its descriptor says {}",
                  layer.expected->digest, file.size, layer.expected->size);
    }
    uint64_t bytes = 0;
    return PushFile(file, [&](std::string_view data) {
      progress.Update(bytes += data.size());
      return sink(data);
    });
  };
  progress.Begin(fmt::format("layer {}/{} {}", layer.number, layer.count, layer.label),
                 layer.expected ? layer.expected->size : 0);
  const LayerRecord record = TRY(writer.AddLayer(layer.expected, produce));
  progress.End(FormatBytes(record.blob_bytes));
  if (record.left_out_xattrs > 0) {
    progress.Warn(fmt::format("note: {} extended attributes that Linux does not have are left out",
                              record.left_out_xattrs));
  }
  if (record.diff_id != diff_id) {
    return Fail(ErrorCode::kCorrupt,
                "layer {} expands to something else than the configuration says", record.digest);
  }
  return record;
}

base::Result<Descriptor> AddManifest(const Manifest& manifest,
                                     const std::vector<LayerRecord>& layers,
                                     const ConfigFile& config, StoreWriter& writer) {
  const std::string text = base::json::Write(manifest);
  Descriptor descriptor;
  descriptor.mediaType = manifest.mediaType;
  descriptor.digest = TRY(writer.AddDocument(text));
  descriptor.size = text.size();
  descriptor.platform = Platform{"amd64", "linux", std::nullopt};
  TRY(writer.AddImage(descriptor.digest, layers, ConfigOf(config)));
  return descriptor;
}

}  // namespace msb::image
