#include "src/image/store_check.h"

#include <fcntl.h>

#include <algorithm>
#include <map>

#include "src/base/sys.h"
#include "src/image/layer_record.h"
#include "src/image/sha256.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

class Checker {
 public:
  Checker(const Store& store, const std::function<void(uint64_t)>& on_bytes)
      : store_(store), on_bytes_(on_bytes) {}

  base::Result<StoreReport> Run() {
    const auto entries = store_.List();
    if (!entries) {
      report_.problems.push_back({kIndexFile, entries.error().message(), {}});
      return report_;
    }
    for (const ImageEntry& entry : *entries) {
      image_ = entry.name.empty() ? entry.manifest.digest : entry.name;
      CheckImage(entry.manifest);
      ++report_.images;
    }
    return report_;
  }

 private:
  // Checks a file once, and blames it on every image that needs it.
  bool CheckFile(const std::string& file, const std::string& digest, uint64_t bytes) {
    const auto known = verdicts_.find(file);
    if (known != verdicts_.end()) return Blame(file, known->second);
    const auto hash = [&]() -> base::Result<HashedFile> {
      const base::UniqueFd fd =
          TRY(base::OpenFileAt(store_.images_fd(), file, O_RDONLY | O_NOFOLLOW));
      return HashFile(fd.get());
    }();
    std::string verdict;
    if (!hash) {
      verdict = hash.error().code() == ErrorCode::kNotFound ? "is missing" : hash.error().message();
    } else if (hash->bytes != bytes) {
      verdict = fmt::format("has {} bytes instead of {}", hash->bytes, bytes);
    } else if (hash->digest != digest) {
      verdict = "is damaged: its contents have another digest";
    }
    if (hash) on_bytes_(report_.bytes += hash->bytes);
    verdicts_[file] = verdict;
    return Blame(file, verdict);
  }

  bool Blame(const std::string& file, const std::string& verdict) {
    if (verdict.empty()) return true;
    const auto found = std::ranges::find(report_.problems, file, &StoreProblem::file);
    if (found == report_.problems.end()) {
      report_.problems.push_back({file, verdict, {image_}});
    } else if (std::ranges::find(found->images, image_) == found->images.end()) {
      found->images.push_back(image_);
    }
    return false;
  }

  void Note(const std::string& file, const base::Error& error) {
    (void)Blame(file, error.code() == ErrorCode::kNotFound ? "is missing" : error.message());
  }

  void CheckImage(const Descriptor& descriptor) {
    const std::string file = BlobFile(descriptor.digest);
    if (!CheckFile(file, descriptor.digest, descriptor.size)) return;
    const auto manifest = [&]() -> base::Result<Manifest> {
      const base::json::Value document =
          TRY(ParseDocument(TRY(store_.ReadBlob(descriptor.digest))));
      if (TRY(KindOfDocument(document, descriptor)) == DocumentKind::kIndex) {
        return Fail(ErrorCode::kUnsupported,
                    "is an index of several platforms, put here by another program");
      }
      return DecodeManifest(document);
    }();
    if (!manifest) return Note(file, manifest.error());
    (void)CheckFile(BlobFile(manifest->config.digest), manifest->config.digest,
                    manifest->config.size);
    for (const Descriptor& layer : manifest->layers) CheckLayer(layer);
    CheckRun(descriptor, *manifest);
  }

  void CheckLayer(const Descriptor& layer) {
    if (!verdicts_.contains(BlobFile(layer.digest))) ++report_.layers;
    (void)CheckFile(BlobFile(layer.digest), layer.digest, layer.size);
    const std::string file = LayerFile(layer.digest, "layer");
    const auto record = [&]() -> base::Result<LayerRecord> {
      return ParseLayerRecord(TRY(base::ReadFileAt(store_.images_fd(), file, 64 * 1024)));
    }();
    if (!record) return Note(file, record.error());
    if (record->digest != layer.digest) {
      return Note(file, Fail(ErrorCode::kCorrupt, "belongs to another layer"));
    }
    (void)CheckFile(LayerFile(layer.digest, "blob"), record->blob_digest, record->blob_bytes);
    (void)CheckFile(LayerFile(layer.digest, "index"), record->index_digest, record->index_bytes);
  }

  void CheckRun(const Descriptor& descriptor, const Manifest& manifest) {
    const std::string file = RunFile(descriptor.digest);
    const auto record = store_.ReadRunRecord({"", descriptor});
    if (!record) return Note(file, record.error());
    const bool same = std::ranges::equal(record->layers, manifest.layers, {}, &RunLayer::digest,
                                         &Descriptor::digest);
    if (!same) return Note(file, Fail(ErrorCode::kCorrupt, "lists other layers than the manifest"));
    (void)CheckFile(MetadataFile(record->uuid), record->metadata_digest, record->metadata_bytes);
  }

  const Store& store_;
  const std::function<void(uint64_t)>& on_bytes_;
  StoreReport report_;
  std::string image_;                            // whose files are being checked
  std::map<std::string, std::string> verdicts_;  // by file; empty: good
};

}  // namespace

base::Result<StoreReport> CheckStore(const Store& store,
                                     const std::function<void(uint64_t)>& on_bytes) {
  if (!store.exists()) return StoreReport();
  const base::UniqueFd lock = TRY(store.LockShared());
  return Checker(store, on_bytes).Run();
}

}  // namespace msb::image
