#include "src/image/load.h"

#include <algorithm>

#include "src/base/bytes.h"
#include "src/image/reference.h"
#include "src/image/sha256.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr int kMaxNesting = 4;
constexpr size_t kMaxImages = 1000;

std::string BlobPath(const std::string& digest) {
  return fmt::format("blobs/sha256/{}", DigestHex(digest));
}

std::string ShortDigest(const std::string& digest) {
  return std::string(DigestHex(digest).substr(0, 12));
}

// A manifest to load, and how the layout calls it.
struct Found {
  Descriptor manifest;
  std::vector<std::string> names;
};

class Loader {
 public:
  Loader(const LayoutSource& layout, StoreWriter& writer, Progress& progress)
      : layout_(layout), writer_(writer), progress_(progress) {}

  base::Result<std::vector<LoadedImage>> Run(const std::vector<std::string>& tags) {
    const std::string text = TRY(layout_.Read("index.json"));
    const auto read = [&]() -> base::Status {
      const Index index = TRY(DecodeIndex(TRY(ParseDocument(text))));
      return FindImages(index, "", !tags.empty(), 0);
    };
    TRY(read().WithContext("index.json"));
    TRY(AddTags(tags));
    std::vector<PreparedImage> prepared;
    std::vector<LoadedImage> loaded;
    for (const Found& found : images_) {
      prepared.push_back({TRY(LoadImage(found).WithContext(Describe(found))), found.names});
      loaded.push_back({found.names, found.manifest.digest});
    }
    TRY(writer_.Publish(prepared));
    return loaded;
  }

 private:
  static std::string Describe(const Found& found) {
    return "image " + (found.names.empty() ? found.manifest.digest : found.names.front());
  }

  base::Status FindImages(const Index& index, const std::string& inherited_name, bool has_tags,
                          int nesting) {
    if (nesting > kMaxNesting) return Fail(ErrorCode::kCorrupt, "indexes nested too deeply");
    std::string others;
    bool any = false;
    for (const Descriptor& manifest : index.manifests) {
      if (IsAttachment(manifest)) continue;
      if (!MayRunHere(manifest)) {
        others += fmt::format("{}{}/{}", others.empty() ? "" : ", ", manifest.platform->os,
                              manifest.platform->architecture);
        continue;
      }
      std::string name = TRY(NameOf(manifest, has_tags));
      if (name.empty()) name = inherited_name;
      TRY(FindManifest(manifest, name, has_tags, nesting));
      any = true;
      // One of several for the same machine (variants): the first is meant.
      if (nesting > 0) break;
    }
    if (any) return {};
    if (others.empty()) return Fail(ErrorCode::kInvalid, "no image in it");
    return Fail(ErrorCode::kUnsupported, "no image for linux/amd64 (only for {})",
                base::EscapeForTerminal(others));
  }

  base::Status FindManifest(const Descriptor& descriptor, const std::string& name, bool has_tags,
                            int nesting) {
    const std::string text = TRY(ReadVerified(descriptor));
    const base::json::Value document = TRY(ParseDocument(text).WithContext(descriptor.digest));
    if (TRY(KindOfDocument(document, descriptor)) == DocumentKind::kIndex) {
      const Index index = TRY(DecodeIndex(document).WithContext(descriptor.digest));
      return FindImages(index, name, has_tags, nesting + 1).WithContext(descriptor.digest);
    }
    auto found = std::ranges::find_if(
        images_, [&](const Found& image) { return image.manifest.digest == descriptor.digest; });
    if (found == images_.end()) {
      if (images_.size() >= kMaxImages) return Fail(ErrorCode::kLimit, "too many images");
      images_.push_back({descriptor, {}});
      found = images_.end() - 1;
    }
    if (!name.empty() && std::ranges::find(found->names, name) == found->names.end()) {
      found->names.push_back(name);
    }
    return {};
  }

  // The name an entry bears, normalized. One that is not a name is an error unless the user gives
  // another.
  static base::Result<std::string> NameOf(const Descriptor& manifest, bool has_tags) {
    std::string text = manifest.Annotation(kContainerdName);
    if (text.empty()) text = manifest.Annotation(kRefName);
    if (text.empty()) return std::string();
    const auto reference = ParseReference(text);
    if (reference) return reference->TaggedName();
    if (has_tags) return std::string();
    return base::Error(reference.error()).WithContext("use --tag to give it another name");
  }

  base::Status AddTags(const std::vector<std::string>& tags) {
    if (tags.empty()) return {};
    if (images_.size() != 1) {
      return Fail(ErrorCode::kInvalid, "--tag needs exactly one image, there are {}",
                  images_.size());
    }
    for (const std::string& tag : tags) {
      auto& names = images_.front().names;
      if (std::ranges::find(names, tag) == names.end()) names.push_back(tag);
    }
    return {};
  }

  base::Result<std::string> ReadVerified(const Descriptor& descriptor) const {
    const std::string text = TRY(layout_.Read(BlobPath(descriptor.digest)));
    if (text.size() != descriptor.size || DigestOf(text) != descriptor.digest) {
      return Fail(ErrorCode::kCorrupt, "blob {} does not match its digest and size",
                  descriptor.digest);
    }
    return text;
  }

  base::Result<Descriptor> LoadImage(const Found& found) {
    const std::string manifest_text = TRY(ReadVerified(found.manifest));
    const base::json::Value document = TRY(ParseDocument(manifest_text));
    const Manifest manifest = TRY(DecodeManifest(document));
    const std::string config_text = TRY(ReadVerified(manifest.config));
    const ConfigFile config = TRY(DecodeConfig(config_text, manifest.layers.size()));
    std::vector<LayerRecord> layers;
    for (const Descriptor& layer : manifest.layers) {
      layers.push_back(TRY(LoadLayer(layer, layers.size() + 1, manifest.layers.size())));
      if (layers.back().diff_id != config.rootfs.diff_ids[layers.size() - 1]) {
        return Fail(ErrorCode::kCorrupt,
                    "layer {} expands to something else than the configuration says", layer.digest);
      }
    }
    (void)TRY(writer_.AddDocument(config_text));
    (void)TRY(writer_.AddDocument(manifest_text));
    TRY(writer_.AddImage(found.manifest.digest, layers, ConfigOf(config)));
    Descriptor descriptor = found.manifest;
    if (!descriptor.mediaType)
      descriptor.mediaType = manifest.mediaType.value_or(std::string(kOciManifest));
    return descriptor;
  }

  base::Result<LayerRecord> LoadLayer(const Descriptor& layer, size_t number, size_t count) {
    progress_.Begin(fmt::format("layer {}/{} {}", number, count, ShortDigest(layer.digest)),
                    layer.size);
    const auto produce = [&](const Sink& sink) -> base::Status {
      const SourceFile file = TRY(layout_.Open(BlobPath(layer.digest)));
      if (file.size != layer.size) {
        return Fail(ErrorCode::kCorrupt, "layer {} has {} bytes, its descriptor says {}",
                    layer.digest, file.size, layer.size);
      }
      uint64_t bytes = 0;
      return PushFile(file, [&](std::string_view data) {
        progress_.Update(bytes += data.size());
        return sink(data);
      });
    };
    const LayerRecord record = TRY(writer_.AddLayer(Expected{layer.digest, layer.size}, produce));
    progress_.End(FormatBytes(record.blob_bytes));
    if (record.left_out_xattrs > 0) {
      progress_.Warn(
          fmt::format("note: {} extended attributes that Linux does not have are left out",
                      record.left_out_xattrs));
    }
    return record;
  }

  const LayoutSource& layout_;
  StoreWriter& writer_;
  Progress& progress_;
  std::vector<Found> images_;
};

}  // namespace

base::Result<std::vector<LoadedImage>> LoadLayout(const LayoutSource& layout,
                                                  const std::vector<std::string>& tags,
                                                  StoreWriter& writer, Progress& progress) {
  auto images = Loader(layout, writer, progress).Run(tags);
  // Also after an error: of what could be converted nothing is kept.
  const base::Status collected = writer.Collect();
  if (images) TRY(base::Status(collected));
  return images;
}

}  // namespace msb::image
