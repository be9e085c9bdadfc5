#include "src/image/load.h"

#include <algorithm>
#include <variant>

#include "src/base/bytes.h"
#include "src/image/docker_archive.h"
#include "src/image/layer_load.h"
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

// An image to load, and how the layout calls it.
struct Found {
  std::variant<Descriptor, DockerImage> source;
  std::vector<std::string> names;
};

void AddName(const std::string& name, std::vector<std::string>& names) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

class Loader {
 public:
  Loader(const LayoutSource& layout, StoreWriter& writer, Progress& progress)
      : layout_(layout), writer_(writer), progress_(progress) {}

  base::Result<std::vector<LoadedImage>> Run(const std::vector<std::string>& tags) {
    // Newer archives of Docker's have both: the index says more.
    if (layout_.Open(kIndexFile)) {
      TRY(FindInIndex(!tags.empty()).WithContext(kIndexFile));
    } else {
      TRY(FindInDockerArchive(!tags.empty()).WithContext(kDockerManifestFile));
    }
    TRY(AddTags(tags));
    std::vector<PreparedImage> prepared;
    std::vector<LoadedImage> loaded;
    for (const Found& found : images_) {
      prepared.push_back({TRY(LoadImage(found).WithContext(Describe(found))), found.names});
      loaded.push_back({found.names, prepared.back().manifest.digest});
    }
    TRY(writer_.Publish(prepared));
    return loaded;
  }

 private:
  static std::string Describe(const Found& found) {
    if (!found.names.empty()) return "image " + found.names.front();
    if (const auto* manifest = std::get_if<Descriptor>(&found.source)) {
      return "image " + manifest->digest;
    }
    return "image " + base::EscapeForTerminal(std::get<DockerImage>(found.source).config);
  }

  base::Status FindInIndex(bool has_tags) {
    const std::string text = TRY(layout_.Read(kIndexFile));
    return FindImages(TRY(DecodeIndex(TRY(ParseDocument(text)))), "", has_tags, 0);
  }

  base::Status FindInDockerArchive(bool has_tags) {
    for (DockerImage& image : TRY(DecodeDockerManifest(TRY(layout_.Read(kDockerManifestFile))))) {
      if (images_.size() >= kMaxImages) return Fail(ErrorCode::kLimit, "too many images");
      std::vector<std::string> names;
      for (const std::string& tag : image.tags) {
        const std::string name = TRY(Normalize(tag, has_tags));
        if (!name.empty()) AddName(name, names);
      }
      images_.push_back({std::move(image), std::move(names)});
    }
    if (images_.empty()) return Fail(ErrorCode::kInvalid, "no image in it");
    return {};
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
    auto found = std::ranges::find_if(images_, [&](const Found& image) {
      return std::get<Descriptor>(image.source).digest == descriptor.digest;
    });
    if (found == images_.end()) {
      if (images_.size() >= kMaxImages) return Fail(ErrorCode::kLimit, "too many images");
      images_.push_back({descriptor, {}});
      found = images_.end() - 1;
    }
    if (!name.empty()) AddName(name, found->names);
    return {};
  }

  // The name an entry of an index bears, normalized; empty if it has none.
  static base::Result<std::string> NameOf(const Descriptor& manifest, bool has_tags) {
    std::string text = manifest.Annotation(kContainerdName);
    if (text.empty()) text = manifest.Annotation(kRefName);
    if (text.empty()) return std::string();
    return Normalize(text, has_tags);
  }

  // One that is not a name is an error unless the user gives another.
  static base::Result<std::string> Normalize(const std::string& text, bool has_tags) {
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
    for (const std::string& tag : tags) AddName(tag, images_.front().names);
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
    if (const auto* docker = std::get_if<DockerImage>(&found.source)) {
      return LoadDockerImage(layout_, *docker, writer_, progress_);
    }
    return LoadOciImage(std::get<Descriptor>(found.source));
  }

  base::Result<Descriptor> LoadOciImage(Descriptor descriptor) {
    const std::string manifest_text = TRY(ReadVerified(descriptor));
    const Manifest manifest = TRY(DecodeManifest(TRY(ParseDocument(manifest_text))));
    const std::string config_text = TRY(ReadVerified(manifest.config));
    const ConfigFile config = TRY(DecodeConfig(config_text, manifest.layers.size()));
    std::vector<LayerRecord> layers;
    for (const Descriptor& layer : manifest.layers) {
      const LayerToLoad source = {.path = BlobPath(layer.digest),
                                  .label = std::string(DigestHex(layer.digest).substr(0, 12)),
                                  .expected = Expected{layer.digest, layer.size},
                                  .number = layers.size() + 1,
                                  .count = manifest.layers.size()};
      const std::string& diff_id = config.rootfs.diff_ids[layers.size()];
      layers.push_back(TRY(LoadLayer(layout_, source, diff_id, writer_, progress_)));
    }
    (void)TRY(writer_.AddDocument(config_text));
    (void)TRY(writer_.AddDocument(manifest_text));
    TRY(writer_.AddImage(descriptor.digest, layers, ConfigOf(config)));
    if (!descriptor.mediaType) {
      descriptor.mediaType = manifest.mediaType.value_or(std::string(kOciManifest));
    }
    return descriptor;
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
