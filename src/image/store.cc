#include "src/image/store.h"

#include <fcntl.h>

#include <algorithm>

#include "src/base/bytes.h"
#include "src/base/paths.h"
#include "src/base/sys.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kMaxIndexFile = 64 << 20;
constexpr size_t kMaxRunRecord = 4 << 20;
constexpr size_t kMinDigestPrefix = 6;  // a shorter one is more likely a slip of the hand

base::Status CheckVersion(int home_fd) {
  const auto version = base::ReadFileAt(home_fd, "version", 64);
  if (!version && version.error().code() == ErrorCode::kNotFound) return {};
  if (TRY(version) == kStoreVersion) return {};
  return Fail(ErrorCode::kUnsupported,
              "this home was written by a newer version of microsandbox: update, or set MSB_HOME "
              "to another directory");
}

base::Result<ImagePart> OpenPart(int images_fd, const std::string& file, uint64_t bytes) {
  base::UniqueFd fd = TRY(base::OpenFileAt(images_fd, file, O_RDONLY | O_NOFOLLOW));
  const struct stat status = TRY(base::Stat(fd.get()));
  if (!S_ISREG(status.st_mode) || static_cast<uint64_t>(status.st_size) != bytes) {
    return Fail(ErrorCode::kCorrupt, "{} does not have the size it should have", file);
  }
  return ImagePart{std::move(fd), 0, bytes};
}

base::Result<std::vector<ImagePart>> OpenParts(int images_fd, const RunRecord& record) {
  std::vector<ImagePart> parts;
  parts.push_back(TRY(OpenPart(images_fd, MetadataFile(record.uuid), record.metadata_bytes)));
  for (const RunLayer& layer : record.layers) {
    if (layer.blob_bytes == 0) continue;
    parts.push_back(TRY(OpenPart(images_fd, LayerFile(layer.digest, "blob"), layer.blob_bytes)));
  }
  return parts;
}

// What to do about an image whose converted form is damaged or missing: everything needed to make
// it again is in the store itself.
std::string HowToRepair(const ImageEntry& entry) {
  return fmt::format("image '{}' cannot be run (`msb image check` says more)",
                     entry.name.empty() ? entry.manifest.digest : entry.name);
}

// The digits of what may be the beginning of a digest; empty if it is none.
std::string_view DigitsOfDigest(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (text.starts_with(kAlgorithm)) text.remove_prefix(kAlgorithm.size());
  const bool digits = text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return digits && text.size() >= kMinDigestPrefix && text.size() <= 64 ? text : "";
}

base::Result<FoundEntry> FindByDigest(const std::vector<ImageEntry>& entries,
                                      std::string_view digits, const std::string& reference) {
  const ImageEntry* found = nullptr;
  for (const ImageEntry& entry : entries) {
    if (!DigestHex(entry.manifest.digest).starts_with(digits)) continue;
    if (found != nullptr && found->manifest.digest != entry.manifest.digest) {
      return Fail(ErrorCode::kInvalid,
                  "'{}' could be {} ({}) or {} ({}): write more digits of the digest", reference,
                  found->manifest.digest, DisplayName(*found), entry.manifest.digest,
                  DisplayName(entry));
    }
    if (found == nullptr) found = &entry;
  }
  if (found == nullptr) return Fail(ErrorCode::kNotFound, "no such image: {}", reference);
  return FoundEntry{*found, true};
}

}  // namespace

std::string BlobFile(const std::string& digest) {
  return fmt::format("{}/{}", kBlobsDirectory, DigestHex(digest));
}

std::string LayerFile(const std::string& digest, const char* suffix) {
  return fmt::format("{}/{}.{}", kConvertedDirectory, DigestHex(digest), suffix);
}

std::string MetadataFile(const std::string& uuid) {
  return fmt::format("{}/{}.erofs", kConvertedDirectory, uuid);
}

std::string RunFile(const std::string& manifest_digest) {
  return fmt::format("{}/{}.run", kConvertedDirectory, DigestHex(manifest_digest));
}

base::Result<std::vector<ImageEntry>> EntriesOf(std::string_view index_json) {
  Index index = TRY(DecodeIndex(TRY(ParseDocument(index_json))));
  std::vector<ImageEntry> entries;
  for (Descriptor& manifest : index.manifests) {
    std::string name = manifest.Annotation(kContainerdName);
    if (name.empty()) name = manifest.Annotation(kRefName);
    const auto reference = ParseReference(name);
    entries.push_back({reference ? reference->TaggedName() : "", std::move(manifest)});
  }
  return entries;
}

std::string DisplayName(const ImageEntry& entry) {
  const auto name = ParseReference(entry.name);
  return name ? name->ShortName() : entry.manifest.digest;
}

base::Result<FoundEntry> FindEntry(const std::vector<ImageEntry>& entries,
                                   const std::string& reference) {
  const std::string_view digits = DigitsOfDigest(reference);
  // Never a name, whatever an archive says its images are called.
  if (reference.starts_with("sha256:")) {
    if (!digits.empty()) return FindByDigest(entries, digits, reference);
    return Fail(ErrorCode::kInvalid, "'{}' is no digest: sha256: and {} to 64 of its digits",
                reference, kMinDigestPrefix);
  }
  const auto wanted = ParseReference(reference);
  if (!wanted && digits.empty()) return wanted.error();
  const auto named = std::ranges::find_if(entries, [&](const ImageEntry& entry) {
    if (!wanted) return false;
    if (wanted->digest.empty()) return entry.name == wanted->TaggedName();
    return entry.manifest.digest == wanted->digest &&
           entry.name.starts_with(wanted->Repository() + ":");
  });
  if (named != entries.end()) {
    const auto other = digits.empty() ? base::Result<FoundEntry>(Fail(ErrorCode::kNotFound, ""))
                                      : FindByDigest(entries, digits, reference);
    if (other && other->entry.manifest.digest != named->manifest.digest) {
      return Fail(
          ErrorCode::kInvalid,
          "'{}' is the name of one image and begins the digest of another: write {}:TAG, or "
          "sha256:{}",
          reference, reference, digits);
    }
    return FoundEntry{*named, false};
  }
  if (!digits.empty()) return FindByDigest(entries, digits, reference);
  return Fail(ErrorCode::kNotFound, "no such image: {}", reference);
}

namespace {

// As the recipes in images/ name them.
bool IsStockImage(const std::string& name) {
  static constexpr std::string_view kNames[] = {
      "microsandbox/base",        "microsandbox/node",  "node", "python",
      "microsandbox/python-data", "microsandbox/python"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

}  // namespace

base::Error MissingImage(const std::string& reference) {
  std::string message =
      fmt::format("image '{}' is not in the store.", base::EscapeForTerminal(reference));
  const auto name = ParseReference(reference);
  if (name && !IsDigest(reference)) {
    message += fmt::format(
        " Bring it with\n  msb image load IMAGE.tar        (an OCI archive, or one of docker "
        "save)\n"
        "  msb image import ROOTFS.tar --tag {}",
        name->ShortName());
    if (IsStockImage(name->ShortName())) {
      message +=
          "\n  make images                     (in microsandbox's source tree, which builds it)";
    }
  } else {
    message += " `msb image ls` lists what is.";
  }
  return base::Error(ErrorCode::kNotFound, std::move(message));
}

base::Result<Store> Store::Open(const std::string& home) {
  auto home_fd = base::OpenHome(home, base::HomeMode::kMustExist);
  if (!home_fd && home_fd.error().code() == ErrorCode::kNotFound) return Store(base::UniqueFd());
  const base::UniqueFd directory = TRY(std::move(home_fd));
  TRY(CheckVersion(directory.get()));
  auto images = base::OpenFileAt(directory.get(), "images", O_RDONLY | O_DIRECTORY);
  if (!images && images.error().code() == ErrorCode::kNotFound) return Store(base::UniqueFd());
  return Store(TRY(std::move(images)));
}

base::Result<base::UniqueFd> Store::LockShared() const {
  base::UniqueFd lock = TRY(base::OpenFileAt(images_.get(), kStoreLock, O_RDWR | O_CREAT, 0600));
  TRY(base::WaitLock(lock.get(), base::LockMode::kShared));
  return lock;
}

base::Result<std::vector<ImageEntry>> Store::List() const {
  if (!exists()) return std::vector<ImageEntry>();
  const auto text = base::ReadFileAt(images_.get(), kIndexFile, kMaxIndexFile);
  if (!text && text.error().code() == ErrorCode::kNotFound) return std::vector<ImageEntry>();
  return EntriesOf(TRY(text)).WithContext("the store's index.json");
}

base::Result<ImageEntry> Store::Find(const std::string& reference) const {
  auto found = FindEntry(TRY(List()), reference);
  if (!found && found.error().code() == ErrorCode::kNotFound) return MissingImage(reference);
  return TRY(std::move(found)).entry;
}

base::Result<RunRecord> Store::ReadRunRecord(const ImageEntry& entry) const {
  return ParseRunRecord(
      TRY(base::ReadFileAt(images_.get(), RunFile(entry.manifest.digest), kMaxRunRecord)));
}

base::Result<std::string> Store::ReadBlob(const std::string& digest) const {
  return base::ReadFileAt(images_.get(), BlobFile(digest), kMaxDocument);
}

base::Result<RunnableImage> Store::OpenForRun(const std::string& reference) const {
  if (DigitsOfDigest(reference).empty()) (void)TRY(ParseReference(reference));
  if (!exists()) return MissingImage(reference);
  base::UniqueFd lock = TRY(LockShared());
  ImageEntry entry = TRY(Find(reference));
  RunRecord record = TRY(ReadRunRecord(entry).WithContext(HowToRepair(entry)));
  RunnableImage image;
  image.name = DisplayName(entry);
  image.digest = std::move(entry.manifest.digest);
  image.uuid = record.uuid;
  image.parts = TRY(OpenParts(images_.get(), record).WithContext(HowToRepair(entry)));
  image.config = std::move(record.config);
  image.lock = std::move(lock);
  return image;
}

base::Status Store::CheckStill(const RunnableImage& image) const {
  const base::UniqueFd lock =
      TRY(base::OpenFileAt(images_.get(), kIndexLock, O_RDWR | O_CREAT, 0600));
  TRY(base::WaitLock(lock.get(), base::LockMode::kExclusive));
  for (const ImageEntry& entry : TRY(List())) {
    if (entry.manifest.digest == image.digest) return {};
  }
  return base::Fail(ErrorCode::kNotFound,
                    "image {} was replaced by another of that name just now: start again",
                    image.name);
}

}  // namespace msb::image
