#include "src/image/docker_archive.h"

#include <algorithm>

#include "src/base/bytes.h"
#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/image/merge.h"
#include "src/image/reference.h"
#include "src/image/sha256.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kMaxPath = 4095;

// One entry of manifest.json, with its members' names there.
struct ManifestEntry {
  static constexpr auto kRequired = std::to_array<std::string_view>({"Config"});
  std::string Config;
  std::optional<std::vector<std::string>> RepoTags;
  std::optional<std::vector<std::string>> Layers;
};
BOOST_DESCRIBE_STRUCT(ManifestEntry, (), (Config, RepoTags, Layers))

bool HasParent(std::string_view path) {
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (path.substr(at, end - at) == "..") return true;
    at = end + 1;
  }
  return false;
}

base::Status CheckPath(std::string_view path, std::string_view what) {
  const bool fits = !path.empty() && path.size() <= kMaxPath && path.front() != '/' &&
                    path.find('\0') == std::string_view::npos && !HasParent(path);
  if (fits) return {};
  return Fail(ErrorCode::kCorrupt, "'{}' cannot be the path of {} within the archive",
              base::EscapeForTerminal(path.substr(0, 200)), what);
}

// Configurations are named by their digest: "<hex>.json", in newer archives "blobs/sha256/<hex>".
base::Status CheckConfigName(const std::string& path, std::string_view text) {
  std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
  if (name.ends_with(".json")) name.remove_suffix(5);
  const std::string named = "sha256:" + std::string(name);
  if (!IsDigest(named) || named == DigestOf(text)) return {};
  return Fail(ErrorCode::kCorrupt, "{} does not match the digest in its name",
              base::EscapeForTerminal(path));
}

base::Result<std::string> TypeOfLayer(const SourceFile& file) {
  std::string start(std::min<uint64_t>(file.size, 4), '\0');
  TRY(base::PreadFull(file.fd.get(), std::as_writable_bytes(std::span(start)), file.offset));
  return LayerTypeOf(start);
}

base::Result<Descriptor> LoadDockerLayer(const LayoutSource& archive, const DockerImage& image,
                                         size_t number, const std::string& diff_id,
                                         StoreWriter& writer, Progress& progress,
                                         std::vector<LayerRecord>& layers) {
  LayerToLoad layer;
  layer.path = image.layers[number];
  layer.label = std::string(DigestHex(diff_id).substr(0, 12));
  layer.number = number + 1;
  layer.count = image.layers.size();
  const SourceFile file = TRY(archive.Open(layer.path));
  const std::string type = TRY(TypeOfLayer(file));
  // Of an uncompressed layer the digest is known beforehand: it may be in the store already.
  if (type == kOciLayer) layer.expected = Expected{diff_id, file.size};
  layers.push_back(TRY(LoadLayer(archive, layer, diff_id, writer, progress)));
  Descriptor descriptor;
  descriptor.mediaType = type;
  descriptor.digest = layers.back().digest;
  descriptor.size = layers.back().bytes;
  return descriptor;
}

}  // namespace

base::Result<std::vector<DockerImage>> DecodeDockerManifest(std::string_view text) {
  auto entries = base::json::Parse<std::vector<ManifestEntry>>(text);
  if (!entries) return base::Error(ErrorCode::kCorrupt, entries.error().message());
  std::vector<DockerImage> images;
  for (ManifestEntry& entry : *entries) {
    DockerImage image;
    image.config = std::move(entry.Config);
    image.tags = std::move(entry.RepoTags).value_or(std::vector<std::string>());
    image.layers = std::move(entry.Layers).value_or(std::vector<std::string>());
    if (image.layers.size() > kMaxLayers) {
      return Fail(ErrorCode::kLimit, "an image has more than {} layers", kMaxLayers);
    }
    TRY(CheckPath(image.config, "a configuration"));
    for (const std::string& layer : image.layers) TRY(CheckPath(layer, "a layer"));
    images.push_back(std::move(image));
  }
  return images;
}

base::Result<Descriptor> LoadDockerImage(const LayoutSource& archive, const DockerImage& image,
                                         StoreWriter& writer, Progress& progress) {
  const std::string config_text = TRY(archive.Read(image.config));
  TRY(CheckConfigName(image.config, config_text));
  const ConfigFile config = TRY(DecodeConfig(config_text, image.layers.size()));
  Manifest manifest;
  std::vector<LayerRecord> layers;
  for (size_t i = 0; i < image.layers.size(); ++i) {
    manifest.layers.push_back(
        TRY(LoadDockerLayer(archive, image, i, config.rootfs.diff_ids[i], writer, progress, layers)
                .WithContext(base::EscapeForTerminal(image.layers[i]))));
  }
  manifest.mediaType = std::string(kOciManifest);
  manifest.config.mediaType = std::string(kOciConfig);
  manifest.config.digest = TRY(writer.AddDocument(config_text));
  manifest.config.size = config_text.size();
  return AddManifest(manifest, layers, config, writer);
}

}  // namespace msb::image
