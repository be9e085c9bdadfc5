#include "src/image/oci.h"

#include <algorithm>

#include "src/base/bytes.h"
#include "src/image/reference.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr std::string_view kArchitecture = "amd64";
constexpr std::string_view kOs = "linux";

constexpr std::string_view kLayerTypes[] = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

constexpr std::string_view kConfigTypes[] = {
    kOciConfig,
    "application/vnd.docker.container.image.v1+json",
};

base::Error UnknownType(std::string_view what, std::string_view type) {
  return Fail(ErrorCode::kUnsupported, "{} has media type '{}', which this version does not know",
              what, base::EscapeForTerminal(type.substr(0, 200)));
}

base::Error AsCorrupt(const base::Error& error) {
  return base::Error(ErrorCode::kCorrupt, error.message());
}

template <typename T>
base::Result<T> DecodeAs(const base::json::Value& document) {
  auto decoded = base::json::Decode<T>(document);
  if (!decoded) return AsCorrupt(decoded.error());
  return decoded;
}

base::Status CheckDescriptor(const Descriptor& descriptor, std::string_view what) {
  if (IsDigest(descriptor.digest)) return {};
  if (descriptor.digest.starts_with("sha512:")) {
    return Fail(ErrorCode::kUnsupported, "{} is named by a sha512 digest (only sha256)", what);
  }
  return Fail(ErrorCode::kCorrupt, "{} has a bad digest '{}'", what,
              base::EscapeForTerminal(descriptor.digest.substr(0, 100)));
}

}  // namespace

std::string Descriptor::Annotation(const char* key) const {
  if (!annotations) return "";
  const auto found = annotations->find(key);
  return found == annotations->end() ? "" : found->second;
}

base::Result<base::json::Value> ParseDocument(std::string_view text) {
  if (text.size() > kMaxDocument) {
    return Fail(ErrorCode::kLimit, "a document of {} bytes (limit {})", text.size(), kMaxDocument);
  }
  auto value = base::json::ParseValue(text);
  if (!value) return AsCorrupt(value.error());
  if (!value->is_object()) return Fail(ErrorCode::kCorrupt, "not a JSON object");
  return value;
}

base::Result<DocumentKind> KindOfDocument(const base::json::Value& document,
                                          const Descriptor& descriptor) {
  const base::json::Object& object = document.get_object();
  std::string type = descriptor.mediaType.value_or("");
  if (const auto* own = object.if_contains("mediaType"); own != nullptr && own->is_string()) {
    type = own->get_string();
  }
  if (type == kOciIndex || type == kDockerList) return DocumentKind::kIndex;
  if (type == kOciManifest || type == kDockerManifest) return DocumentKind::kManifest;
  if (!type.empty()) return UnknownType("the manifest", type);
  if (object.contains("manifests")) return DocumentKind::kIndex;
  if (object.contains("layers")) return DocumentKind::kManifest;
  if (object.contains("fsLayers")) {
    return Fail(ErrorCode::kUnsupported, "a Docker manifest of schema 1: too old");
  }
  return Fail(ErrorCode::kCorrupt, "neither a manifest nor an index");
}

base::Result<Index> DecodeIndex(const base::json::Value& document) {
  Index index = TRY(DecodeAs<Index>(document));
  for (const Descriptor& manifest : index.manifests) TRY(CheckDescriptor(manifest, "a manifest"));
  return index;
}

base::Result<Manifest> DecodeManifest(const base::json::Value& document) {
  Manifest manifest = TRY(DecodeAs<Manifest>(document));
  TRY(CheckDescriptor(manifest.config, "the configuration"));
  const std::string config_type = manifest.config.mediaType.value_or("");
  if (std::ranges::find(kConfigTypes, config_type) == std::end(kConfigTypes)) {
    return UnknownType("the configuration", config_type);
  }
  for (const Descriptor& layer : manifest.layers) {
    TRY(CheckDescriptor(layer, "a layer"));
    const std::string type = layer.mediaType.value_or("");
    if (std::ranges::find(kLayerTypes, type) == std::end(kLayerTypes)) {
      return UnknownType("layer " + layer.digest, type);
    }
  }
  return manifest;
}

base::Result<ConfigFile> DecodeConfig(std::string_view text, size_t layers) {
  ConfigFile config = TRY(DecodeAs<ConfigFile>(TRY(ParseDocument(text))));
  if (config.os != kOs || config.architecture != kArchitecture) {
    return Fail(ErrorCode::kUnsupported, "the image is for {}/{}, this machine runs {}/{}",
                base::EscapeForTerminal(config.os), base::EscapeForTerminal(config.architecture),
                kOs, kArchitecture);
  }
  if (config.rootfs.diff_ids.size() != layers) {
    return Fail(ErrorCode::kCorrupt, "the configuration lists {} layers, the manifest {}",
                config.rootfs.diff_ids.size(), layers);
  }
  for (const std::string& diff_id : config.rootfs.diff_ids) {
    if (!IsDigest(diff_id)) return Fail(ErrorCode::kCorrupt, "a bad diff id in the configuration");
  }
  return config;
}

std::string LayerTypeOf(std::string_view start) {
  const std::string type(kOciLayer);
  if (start.starts_with("\x1f\x8b")) return type + "+gzip";
  const bool skippable =
      start.size() == 4 && start.ends_with("\x2a\x4d\x18") && (start.front() & 0xf0) == 0x50;
  return start == "\x28\xb5\x2f\xfd" || skippable ? type + "+zstd" : type;
}

bool MayRunHere(const Descriptor& descriptor) {
  if (!descriptor.platform) return true;
  return descriptor.platform->os == kOs && descriptor.platform->architecture == kArchitecture;
}

bool IsAttachment(const Descriptor& descriptor) {
  return !descriptor.Annotation("vnd.docker.reference.type").empty() ||
         (descriptor.platform && descriptor.platform->os == "unknown");
}

}  // namespace msb::image
