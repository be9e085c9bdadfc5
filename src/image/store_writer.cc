#include "src/image/store_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "src/base/bytes.h"
#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/image/index_edit.h"
#include "src/image/merge.h"
#include "src/image/sha256.h"
#include "src/image/store_remove.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr mode_t kFileMode = 0600;
constexpr size_t kMaxLayerRecord = 64 * 1024;

base::Status MakeStore(int home_fd) {
  const auto missing = [&](const char* name) { return ::faccessat(home_fd, name, F_OK, 0) != 0; };
  const std::string self = fmt::format("/proc/self/fd/{}/images/", home_fd);
  TRY(base::MakeDirectories(self + kBlobsDirectory, 0700));
  TRY(base::MakeDirectories(self + kConvertedDirectory, 0700));
  if (missing("version")) {
    TRY(base::ReplaceFileAt(home_fd, "version", kStoreVersion, kFileMode, true));
  }
  if (missing("images/oci-layout")) {
    const UniqueFd images = TRY(base::OpenFileAt(home_fd, "images", O_RDONLY | O_DIRECTORY));
    TRY(base::ReplaceFileAt(images.get(), kLayoutFile, kLayoutContent, kFileMode, true));
  }
  return {};
}

base::Status FlushFile(int fd) {
  if (::fdatasync(fd) < 0) return base::FailErrno("cannot flush");
  return {};
}

base::Status FlushDirectory(int images_fd, const char* name) {
  const UniqueFd directory = TRY(base::OpenFileAt(images_fd, name, O_RDONLY | O_DIRECTORY));
  if (::fsync(directory.get()) < 0) return base::FailErrno("cannot flush {}", name);
  return {};
}

// A byte of layers.lock: two commands with the same layer do the work once.
base::Result<UniqueFd> LockLayer(int images_fd, const std::string& digest) {
  UniqueFd fd = TRY(base::OpenFileAt(images_fd, kLayersLock, O_RDWR | O_CREAT, kFileMode));
  uint64_t position = 0;
  const auto bytes = base::HexDecode(DigestHex(digest).substr(0, 14));
  for (const char byte : *bytes) position = position << 8 | static_cast<uint8_t>(byte);
  TRY(base::WaitLockByte(fd.get(), position));
  return fd;
}

// Passes a source on to the store's own copy and to the converter, hashing it.
class Tee {
 public:
  Tee(int copy_fd, int pipe_fd, const std::optional<Expected>& expected)
      : copy_fd_(copy_fd), pipe_fd_(pipe_fd), expected_(expected) {}

  base::Status Take(std::string_view data) {
    bytes_ += data.size();
    if (expected_ && bytes_ > expected_->size) return Mismatch("is larger than");
    hash_.Update(data);
    if (refused_) return {};
    TRY(base::WriteFull(copy_fd_, data));
    base::Status written = base::WriteFull(pipe_fd_, data);
    refused_ = !written && written.error().sys_errno() == EPIPE;
    // The converter has given up and will say why. But a source that is not what it should be
    // explains that better: it is hashed to its end.
    return refused_ && expected_ ? base::Status() : std::move(written);
  }

  base::Result<Expected> Finish() {
    Expected actual{ToDigest(hash_.Finish()), bytes_};
    if (expected_ && actual.size != expected_->size) return Mismatch("is smaller than");
    if (expected_ && actual.digest != expected_->digest) return Mismatch("has another digest than");
    return actual;
  }

  bool refused() const { return refused_; }

 private:
  base::Error Mismatch(std::string_view how) const {
    return Fail(ErrorCode::kCorrupt, "layer {} {} its descriptor says", expected_->digest, how);
  }

  int copy_fd_;
  int pipe_fd_;
  const std::optional<Expected>& expected_;
  uint64_t bytes_ = 0;
  Sha256 hash_;
  bool refused_ = false;
};

}  // namespace

base::Result<StoreWriter> StoreWriter::Open(const std::string& home, Converter& converter) {
  const UniqueFd directory = TRY(base::OpenHome(home, base::HomeMode::kCreate));
  const Store store = TRY(Store::Open(home));  // refuses a newer one
  TRY(MakeStore(directory.get()));
  UniqueFd images = TRY(base::OpenFileAt(directory.get(), "images", O_RDONLY | O_DIRECTORY));
  UniqueFd lock = TRY(TRY(Store::Open(home)).LockShared());
  return StoreWriter(home, std::move(images), std::move(lock), converter);
}

base::Result<UniqueFd> StoreWriter::NewFile(const char* directory) const {
  return base::OpenUnnamed(fmt::format("/proc/self/fd/{}/{}", images_.get(), directory), kFileMode);
}

base::Status StoreWriter::Name(int fd, const std::string& file) const {
  base::Status linked = base::LinkUnnamed(fd, images_.get(), file);
  // Another command was faster; files named by what they are made of are the same.
  if (!linked && linked.error().code() == ErrorCode::kExists) return {};
  return linked;
}

base::Result<std::optional<LayerRecord>> StoreWriter::FindLayer(const std::string& digest) const {
  const auto text = base::ReadFileAt(images_.get(), LayerFile(digest, "layer"), kMaxLayerRecord);
  if (!text && text.error().code() == ErrorCode::kNotFound) return std::optional<LayerRecord>();
  return std::optional(TRY(ParseLayerRecord(TRY(text))));
}

base::Result<LayerRecord> StoreWriter::AddLayer(const std::optional<Expected>& expected,
                                                const Producer& produce) {
  UniqueFd layer_lock;
  if (expected) {
    layer_lock = TRY(LockLayer(images_.get(), expected->digest));
    if (auto found = TRY(FindLayer(expected->digest))) return *std::move(found);
  }
  const UniqueFd source = TRY(NewFile(kBlobsDirectory));
  const UniqueFd blob = TRY(NewFile(kConvertedDirectory));
  const UniqueFd index = TRY(NewFile(kConvertedDirectory));
  const std::unique_ptr<LayerConversion> conversion =
      TRY(converter_->StartLayer(blob.get(), index.get()));
  Tee tee(source.get(), conversion->pipe(), expected);
  const base::Status produced = produce([&](std::string_view data) { return tee.Take(data); });
  if (!produced && !tee.refused()) return produced.error();
  base::Status converted = conversion->Finish();
  if (tee.refused() && !expected) {
    TRY(std::move(converted));
    return Fail(ErrorCode::kSystem, "the converter did not read the whole layer");
  }
  const Expected actual = TRY(tee.Finish());
  TRY(std::move(converted).WithContext("layer " + actual.digest));
  return FinishLayer(actual, source.get(), blob.get(), index.get());
}

base::Result<LayerRecord> StoreWriter::FinishLayer(const Expected& source, int source_fd,
                                                   int blob_fd, int index_fd) const {
  std::string header(kIndexHeaderSize, '\0');
  TRY(base::PreadFull(index_fd, std::as_writable_bytes(std::span(header)), 0));
  const IndexHeader index = TRY(DecodeHeader(header));
  const HashedFile blob_hash = TRY(HashFile(blob_fd));
  const HashedFile index_hash = TRY(HashFile(index_fd));
  if (index.blob_bytes != blob_hash.bytes ||
      index.record_bytes + kIndexHeaderSize != index_hash.bytes) {
    return Fail(ErrorCode::kCorrupt, "the converter wrote something else than it says");
  }
  const LayerRecord record = {
      .digest = source.digest,
      .bytes = source.size,
      .diff_id = ToDigest(index.diff_id),
      .tar_bytes = index.tar_bytes,
      .blob_digest = blob_hash.digest,
      .blob_bytes = blob_hash.bytes,
      .index_digest = index_hash.digest,
      .index_bytes = index_hash.bytes,
      .entries = index.entries,
      .left_out_xattrs = index.left_out_xattrs,
  };
  const UniqueFd record_file = TRY(NewFile(kConvertedDirectory));
  TRY(base::WriteFull(record_file.get(), base::json::Write(record)));
  for (const int fd : {source_fd, blob_fd, index_fd, record_file.get()}) TRY(FlushFile(fd));
  TRY(Name(source_fd, BlobFile(source.digest)));
  TRY(Name(blob_fd, LayerFile(source.digest, "blob")));
  TRY(Name(index_fd, LayerFile(source.digest, "index")));
  TRY(FlushDirectory(images_.get(), kConvertedDirectory));
  TRY(Name(record_file.get(), LayerFile(source.digest, "layer")));
  return record;
}

base::Result<std::string> StoreWriter::AddDocument(std::string_view content) {
  const std::string digest = DigestOf(content);
  const UniqueFd file = TRY(NewFile(kBlobsDirectory));
  TRY(base::WriteFull(file.get(), content));
  TRY(FlushFile(file.get()));
  TRY(Name(file.get(), BlobFile(digest)));
  return digest;
}

base::Status StoreWriter::AddMetadata(const std::vector<LayerRecord>& layers, RunRecord& record) {
  std::vector<UniqueFd> indexes;
  std::vector<int> index_fds;
  for (const LayerRecord& layer : layers) {
    indexes.push_back(
        TRY(base::OpenFileAt(images_.get(), LayerFile(layer.digest, "index"), O_RDONLY)));
    index_fds.push_back(indexes.back().get());
  }
  const VolumeUuid uuid = UuidOf(layers);
  record.uuid = UuidText(uuid);
  const std::string file = MetadataFile(record.uuid);
  UniqueFd metadata = TRY(NewFile(kConvertedDirectory));
  TRY(converter_->Merge(index_fds, uuid, metadata.get()));
  const HashedFile hash = TRY(HashFile(metadata.get()));
  record.metadata_digest = hash.digest;
  record.metadata_bytes = hash.bytes;
  if (hash.bytes == 0 || hash.bytes % kBlockSize != 0) {
    return Fail(ErrorCode::kCorrupt, "the converter wrote something else than it says");
  }
  TRY(FlushFile(metadata.get()));
  return Name(metadata.get(), file);
}

base::Status StoreWriter::AddImage(const std::string& manifest_digest,
                                   const std::vector<LayerRecord>& layers,
                                   const ImageConfig& config) {
  if (layers.size() > kMaxLayers) {
    return Fail(ErrorCode::kLimit, "the image has more than {} layers", kMaxLayers);
  }
  const std::string file = RunFile(manifest_digest);
  if (::faccessat(images_.get(), file.c_str(), F_OK, 0) == 0) return {};
  RunRecord record;
  record.config = config;
  for (const LayerRecord& layer : layers) record.layers.push_back({layer.digest, layer.blob_bytes});
  TRY(AddMetadata(layers, record));
  const UniqueFd record_file = TRY(NewFile(kConvertedDirectory));
  TRY(base::WriteFull(record_file.get(), base::json::Write(record)));
  TRY(FlushFile(record_file.get()));
  return Name(record_file.get(), file);
}

base::Status StoreWriter::Publish(const std::vector<PreparedImage>& images) {
  TRY(FlushDirectory(images_.get(), kBlobsDirectory));
  TRY(FlushDirectory(images_.get(), kConvertedDirectory));
  return EditIndex(images_.get(), [&](std::string_view text) -> base::Result<std::string> {
    const std::set<std::string> needed = PinnedManifests(TRY(FindDiskPins(home_)));
    std::string index(text);
    for (const PreparedImage& image : images) {
      index = TRY(AddToIndex(index, image.manifest, image.names, needed));
    }
    return index;
  });
}

base::Status StoreWriter::Collect() {
  const base::Status exclusive = base::TryLock(lock_.get(), base::LockMode::kExclusive);
  if (!exclusive) {
    return exclusive.error().code() == ErrorCode::kBusy ? base::Status() : exclusive.error();
  }
  (void)TRY(CollectGarbage(images_.get()));
  return {};
}

VolumeUuid UuidOf(const std::vector<LayerRecord>& layers) {
  Sha256 hash;
  hash.Update(fmt::format("microsandbox volume, format {}\n", kIndexFormat));
  for (const LayerRecord& layer : layers) hash.Update(layer.digest + "\n");
  const Sha256Sum sum = hash.Finish();
  VolumeUuid uuid;
  std::copy_n(sum.begin(), uuid.size(), uuid.begin());
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x80);  // RFC 9562: version 8,
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);  // the usual variant
  return uuid;
}

std::string UuidText(const VolumeUuid& uuid) {
  std::string text = base::HexEncode(uuid);
  for (const size_t at : {20, 16, 12, 8}) text.insert(at, 1, '-');
  return text;
}

ImageConfig ConfigOf(const ConfigFile& file) {
  const RunConfig run = file.config.value_or(RunConfig());
  const auto keys = [](const std::optional<RunConfig::Set>& set) {
    std::vector<std::string> out;
    if (set) {
      for (const auto& [key, value] : *set) out.push_back(key);
    }
    return out;
  };
  ImageConfig config;
  config.entrypoint = run.Entrypoint.value_or(RunConfig::Strings());
  config.cmd = run.Cmd.value_or(RunConfig::Strings());
  config.env = run.Env.value_or(RunConfig::Strings());
  config.workdir = run.WorkingDir.value_or("");
  config.user = run.User.value_or("");
  config.stop_signal = run.StopSignal.value_or("");
  config.volumes = keys(run.Volumes);
  config.exposed_ports = keys(run.ExposedPorts);
  config.labels = run.Labels.value_or(StringMap());
  return config;
}

}  // namespace msb::image
