#include "src/image/import.h"

#include <fcntl.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/image/directory_tar.h"

namespace msb::image {
namespace {

using base::json::Array;
using base::json::Object;

// The first bytes of what passes, to know how it is compressed.
class Sniffer {
 public:
  void Take(std::string_view data) {
    start_ += data.substr(0, std::min(data.size(), size_t{4} - start_.size()));
  }
  std::string LayerType() const {
    const std::string type(kOciLayer);
    if (start_.starts_with("\x1f\x8b")) return type + "+gzip";
    const bool zstd = start_ == "\x28\xb5\x2f\xfd" || start_.ends_with("\x2a\x4d\x18");
    return zstd ? type + "+zstd" : type;
  }

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

Object DescriptorOf(std::string_view type, const std::string& digest, uint64_t size) {
  return {{"mediaType", type}, {"digest", digest}, {"size", size}};
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

base::Result<LoadedImage> Import(const std::string& path, const ImportOptions& options,
                                 StoreWriter& writer, Progress& progress) {
  Sniffer sniffer;
  const LayerRecord layer = TRY(AddRootFs(path, writer, progress, sniffer));
  const std::string config_text = ConfigText(options.config, layer);
  const std::string config_digest = TRY(writer.AddDocument(config_text));
  const std::string manifest_text = base::json::WriteValue(Object{
      {"schemaVersion", 2},
      {"mediaType", kOciManifest},
      {"config", DescriptorOf(kOciConfig, config_digest, config_text.size())},
      {"layers", Array{DescriptorOf(sniffer.LayerType(), layer.digest, layer.bytes)}},
  });
  const std::string digest = TRY(writer.AddDocument(manifest_text));
  const ConfigFile config = TRY(DecodeConfig(config_text, 1));
  TRY(writer.AddImage(digest, {layer}, ConfigOf(config)));
  Descriptor descriptor;
  descriptor.mediaType = std::string(kOciManifest);
  descriptor.digest = digest;
  descriptor.size = manifest_text.size();
  descriptor.platform = Platform{"amd64", "linux", std::nullopt};
  TRY(writer.Publish({{descriptor, options.names}}));
  progress.End(FormatBytes(layer.blob_bytes));
  return LoadedImage{options.names, digest};
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
