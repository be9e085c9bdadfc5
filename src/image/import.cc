#include "src/image/import.h"

#include <fcntl.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/image/directory_tar.h"
#include "src/image/layer_load.h"
#include "src/image/layout_source.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::json::Array;
using base::json::Object;

// The first bytes of what passes, to know how it is compressed.
class Sniffer {
 public:
  void Take(std::string_view data) {
    start_ += data.substr(0, std::min(data.size(), size_t{4} - start_.size()));
  }
  std::string LayerType() const { return LayerTypeOf(start_); }

 private:
  std::string start_;
};

Array Strings(const std::vector<std::string>& strings) {
  return Array(strings.begin(), strings.end());
}

std::string ConfigText(const ImageConfig& config, const LayerRecord& layer) {
  Object run;
  if (!config.user.empty()) run["User"] = config.user;
  if (!config.stop_signal.empty()) run["StopSignal"] = config.stop_signal;
  if (!config.env.empty()) run["Env"] = Strings(config.env);
  if (!config.entrypoint.empty()) run["Entrypoint"] = Strings(config.entrypoint);
  if (!config.cmd.empty()) run["Cmd"] = Strings(config.cmd);
  if (!config.workdir.empty()) run["WorkingDir"] = config.workdir;
  return base::json::WriteValue(Object{
      {"architecture", "amd64"},
      {"os", "linux"},
      {"config", std::move(run)},
      {"rootfs", {{"type", "layers"}, {"diff_ids", Array{layer.diff_id}}}},
      {"history", Array{Object{{"created_by", "msb image import"}}}},
  });
}

base::Result<LayerRecord> AddRootFs(const std::string& path, StoreWriter& writer,
                                    Progress& progress, Sniffer& sniffer) {
  const base::UniqueFd fd =
      TRY(path == "-" ? base::Duplicate(STDIN_FILENO) : base::OpenFile(path, O_RDONLY));
  const struct stat status = TRY(base::Stat(fd.get()));
  const bool is_directory = S_ISDIR(status.st_mode);
  progress.Begin("importing", is_directory ? 0 : static_cast<uint64_t>(status.st_size));
  uint64_t bytes = 0;
  return writer.AddLayer(std::nullopt, [&](const Sink& sink) -> base::Status {
    const auto pass = [&](std::string_view data) {
      sniffer.Take(data);
      progress.Update(bytes += data.size());
      return sink(data);
    };
    return is_directory ? WriteDirectoryTar(fd.get(), pass) : PushAll(fd.get(), pass);
  });
}

// Whoever imports an archive of images has meant to load it: as a root file system it is useless.
base::Status RefuseImageArchive(const std::string& path, const LayerRecord& layer,
                                const StoreWriter& writer) {
  const auto archive = TRY(OpenConvertedLayer(writer.images_fd(), layer.digest));
  if (!archive || !IsImageArchive(*archive)) return {};
  return Fail(ErrorCode::kInvalid,
              "{} is no root file system but an archive or layout of images: msb image load {}",
              path, path);
}

base::Result<LoadedImage> Import(const std::string& path, const ImportOptions& options,
                                 StoreWriter& writer, Progress& progress) {
  Sniffer sniffer;
  const LayerRecord layer = TRY(AddRootFs(path, writer, progress, sniffer));
  TRY(RefuseImageArchive(path, layer, writer));
  const std::string config_text = ConfigText(options.config, layer);
  const ConfigFile config = TRY(DecodeConfig(config_text, 1));
  Manifest manifest;
  manifest.mediaType = std::string(kOciManifest);
  manifest.config.mediaType = std::string(kOciConfig);
  manifest.config.digest = TRY(writer.AddDocument(config_text));
  manifest.config.size = config_text.size();
  Descriptor& source = manifest.layers.emplace_back();
  source.mediaType = sniffer.LayerType();
  source.digest = layer.digest;
  source.size = layer.bytes;
  const Descriptor descriptor = TRY(AddManifest(manifest, {layer}, config, writer));
  TRY(writer.Publish({{descriptor, options.names}}));
  progress.End(FormatBytes(layer.blob_bytes));
  return LoadedImage{options.names, descriptor.digest};
}

}  // namespace

base::Result<LoadedImage> ImportRootFs(const std::string& path, const ImportOptions& options,
                                       StoreWriter& writer, Progress& progress) {
  auto image = Import(path, options, writer, progress);
  const base::Status collected = writer.Collect();
  if (image) TRY(base::Status(collected));
  return image;
}

}  // namespace msb::image
