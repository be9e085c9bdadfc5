// What tests of the store share: a layout to spoil, a home to load it into.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/image/import.h"
#include "src/image/load.h"
#include "src/image/sha256.h"
#include "src/image/store_check.h"
#include "src/image/testing/conversion.h"
#include "src/image/testing/tar_bytes.h"

namespace msb::image::testing {

using base::json::Array;
using base::json::Object;

// An OCI layout on disk, whose parts a test may spoil.
class Layout {
 public:
  explicit Layout(const std::string& path) : path_(path) {
    EXPECT_TRUE(base::MakeDirectories(path + "/blobs/sha256", 0700));
    Write("oci-layout", kLayoutContent);
  }

  void Write(const std::string& name, std::string_view content) {
    const base::UniqueFd fd =
        *base::OpenFile(path_ + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_TRUE(base::WriteFull(fd.get(), content));
  }

  Object Blob(std::string_view content, std::string_view type) {
    const std::string digest = DigestOf(content);
    Write("blobs/sha256/" + std::string(DigestHex(digest)), content);
    return {{"mediaType", type}, {"digest", digest}, {"size", content.size()}};
  }

  // A descriptor of an image of these layers.
  Object Image(const std::vector<std::string>& tars, const Object& run = {},
               std::string_view architecture = "amd64") {
    Array layers;
    Array diff_ids;
    for (const std::string& tar : tars) {
      layers.push_back(Blob(Gzip(tar), "application/vnd.oci.image.layer.v1.tar+gzip"));
      diff_ids.push_back(base::json::Value(DigestOf(tar)));
    }
    const Object config = {{"architecture", architecture},
                           {"os", "linux"},
                           {"config", run},
                           {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}};
    const Object manifest = {{"schemaVersion", 2},
                             {"mediaType", kOciManifest},
                             {"config", Blob(base::json::WriteValue(config), kOciConfig)},
                             {"layers", layers}};
    return Blob(base::json::WriteValue(manifest), kOciManifest);
  }

  static Object Named(Object descriptor, std::string_view name) {
    descriptor["annotations"] = Object{{kRefName, name}};
    return descriptor;
  }

  void Index(const Array& manifests) {
    Write("index.json",
          base::json::WriteValue(Object{{"schemaVersion", 2}, {"manifests", manifests}}));
  }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/msb-store-XXXXXX";
    directory_ = ::mkdtemp(name);
    home_ = directory_ + "/home";
    layout_.emplace(directory_ + "/layout");
  }
  void TearDown() override { (void)base::RemoveTreeAt(AT_FDCWD, directory_); }

  base::Result<std::vector<LoadedImage>> Load(const std::vector<std::string>& tags = {}) {
    return LoadPath(layout_->path(), tags);
  }

  base::Result<std::vector<LoadedImage>> LoadPath(const std::string& path,
                                                  const std::vector<std::string>& tags = {}) {
    StoreWriter writer = TRY(StoreWriter::Open(home_, *converter_));
    Progress progress(Progress::Style::kQuiet);
    const auto layout = TRY(OpenLayout(path, directory_, *converter_, [](uint64_t) {}));
    auto images = TRY(LoadLayout(*layout, tags, writer, progress));
    return images;
  }

  base::Result<LoadedImage> Import(const std::string& path, const ImageConfig& config = {}) {
    StoreWriter writer = TRY(StoreWriter::Open(home_, *converter_));
    Progress progress(Progress::Style::kQuiet);
    return ImportRootFs(path, {{"docker.io/library/imported:latest"}, config}, writer, progress);
  }

  Store OpenStore() { return *Store::Open(home_); }
  base::Result<RunnableImage> Open(const std::string& name) { return OpenStore().OpenForRun(name); }

  size_t Problems() {
    return CheckStore(OpenStore(), [](uint64_t) {})->problems.size();
  }

  std::vector<std::string> FilesIn(const std::string& path) {
    const auto fd = base::OpenFile(home_ + "/images/" + path, O_RDONLY | O_DIRECTORY);
    return fd ? *base::ListDirectory(fd->get()) : std::vector<std::string>();
  }

  void ExpectNothingVisible() {
    EXPECT_TRUE(OpenStore().List()->empty());
    EXPECT_EQ(Problems(), 0u);
  }

  std::string directory_;
  std::string home_;
  std::optional<Layout> layout_;
  std::unique_ptr<Converter> converter_ = MakeThreadConverter();
};

inline std::string Tar(const std::string& name = "file") {
  return TarBytes().File(name, name).End();
}

}  // namespace msb::image::testing
