#include "src/image/store_remove.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "src/base/log.h"
#include "src/base/sys.h"
#include "src/image/index_edit.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr size_t kMaxIndexFile = 64 << 20;
constexpr int kMaxNesting = 4;

base::Result<std::string> ReadIndex(int images_fd) {
  auto text = base::ReadFileAt(images_fd, kIndexFile, kMaxIndexFile);
  if (!text && text.error().code() == ErrorCode::kNotFound) return EmptyIndex();
  return text;
}

// The files below images/ that index.json leads to.
class Reachable {
 public:
  explicit Reachable(int images_fd) : images_fd_(images_fd) {}

  base::Status AddIndex(const Index& index, int nesting = 0) {
    for (const Descriptor& manifest : index.manifests) TRY(AddManifest(manifest, nesting));
    return {};
  }

  bool Contains(const std::string& file) const { return files_.contains(file); }

 private:
  base::Status AddManifest(const Descriptor& descriptor, int nesting) {
    files_.insert(BlobFile(descriptor.digest));
    auto text = base::ReadFileAt(images_fd_, BlobFile(descriptor.digest), kMaxDocument);
    // Part of an index of many platforms that was never brought here.
    if (!text && text.error().code() == ErrorCode::kNotFound && nesting > 0) return {};
    const base::json::Value document = TRY(ParseDocument(TRY(std::move(text))));
    if (TRY(KindOfDocument(document, descriptor)) == DocumentKind::kIndex) {
      if (nesting >= kMaxNesting) return Fail(ErrorCode::kCorrupt, "indexes nested too deeply");
      return AddIndex(TRY(DecodeIndex(document)), nesting + 1);
    }
    const Manifest manifest = TRY(base::json::Decode<Manifest>(document));
    files_.insert(BlobFile(manifest.config.digest));
    for (const Descriptor& layer : manifest.layers) {
      files_.insert(BlobFile(layer.digest));
      for (const char* suffix : {"blob", "index", "layer"}) {
        files_.insert(LayerFile(layer.digest, suffix));
      }
    }
    return AddRun(descriptor.digest);
  }

  base::Status AddRun(const std::string& manifest_digest) {
    const std::string file = RunFile(manifest_digest);
    files_.insert(file);
    const auto text = base::ReadFileAt(images_fd_, file, kMaxDocument);
    if (!text && text.error().code() == ErrorCode::kNotFound) return {};
    files_.insert(MetadataFile(TRY(ParseRunRecord(TRY(text))).uuid));
    return {};
  }

  int images_fd_;
  std::set<std::string> files_;
};

base::Result<uint64_t> RemoveOthers(int images_fd, const char* directory,
                                    const Reachable& reachable) {
  const UniqueFd fd = TRY(base::OpenFileAt(images_fd, directory, O_RDONLY | O_DIRECTORY));
  uint64_t freed = 0;
  for (const std::string& name : TRY(base::ListDirectory(fd.get()))) {
    if (reachable.Contains(fmt::format("{}/{}", directory, name))) continue;
    struct stat status;
    if (::fstatat(fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) continue;
    TRY(base::RemoveTreeAt(fd.get(), name));
    freed += static_cast<uint64_t>(status.st_blocks) * 512;
  }
  return freed;
}

base::Result<std::vector<DiskPin>> Find(const PinFinder& find_pins) {
  return find_pins ? find_pins() : std::vector<DiskPin>();
}

base::Result<FoundEntry> FindKnown(const std::vector<ImageEntry>& entries,
                                   const std::string& reference) {
  auto found = FindEntry(entries, reference);
  if (found || found.error().code() != ErrorCode::kNotFound) return found;
  return Fail(ErrorCode::kNotFound, "image '{}' is not in the store: `msb image ls` lists what is",
              reference);
}

base::Result<std::string> RemoveReference(std::string_view index, const std::string& reference,
                                          std::vector<ImageEntry>& removed) {
  const std::vector<ImageEntry> entries = TRY(EntriesOf(index));
  const FoundEntry found = TRY(FindKnown(entries, reference));
  const std::string& digest = found.entry.manifest.digest;
  const std::string name = found.by_digest ? "" : found.entry.name;
  for (const ImageEntry& entry : entries) {
    const bool gone = name.empty() ? entry.manifest.digest == digest : entry.name == name;
    if (gone) removed.push_back(entry);
  }
  return RemoveFromIndex(index, name, digest);
}

base::Status CheckPins(const std::vector<ImageEntry>& removed, const std::vector<ImageEntry>& left,
                       const std::vector<DiskPin>& pins) {
  const auto names = [](const std::vector<ImageEntry>& entries, const DiskPin& pin) {
    return std::ranges::any_of(entries, [&](const ImageEntry& entry) {
      return entry.manifest.digest == pin.record.manifest_digest;
    });
  };
  std::set<std::string> images, sandboxes;
  for (const DiskPin& pin : pins) {
    if (!names(removed, pin) || names(left, pin)) continue;
    images.insert(pin.record.image);
    sandboxes.insert(pin.sandbox);
  }
  if (sandboxes.empty()) return {};
  return Fail(ErrorCode::kBusy,
              "image {} is needed by what is on the disks of sandboxes {}: reset or remove them "
              "first, or give --force (their disks can then only be reset)",
              fmt::join(images, ", "), fmt::join(sandboxes, ", "));
}

}  // namespace

base::Status EditIndex(int images_fd,
                       const std::function<base::Result<std::string>(std::string_view)>& edit) {
  const UniqueFd lock = TRY(base::OpenFileAt(images_fd, kIndexLock, O_RDWR | O_CREAT, 0600));
  TRY(base::WaitLock(lock.get(), base::LockMode::kExclusive));
  const std::string before = TRY(ReadIndex(images_fd));
  const std::string after = TRY(edit(before));
  return base::ReplaceFileAt(images_fd, kIndexFile, after, 0600, true);
}

base::Result<std::vector<ImageEntry>> RemoveImages(const Store& store,
                                                   const std::vector<std::string>& references,
                                                   const PinFinder& find_pins) {
  std::vector<ImageEntry> removed;
  if (!store.exists() && !references.empty()) return MissingImage(references.front());
  if (!store.exists()) return removed;
  const UniqueFd lock =
      TRY(base::OpenFileAt(store.images_fd(), kStoreLock, O_RDWR | O_CREAT, 0600));
  if (!base::TryLock(lock.get(), base::LockMode::kExclusive)) {
    LOG(kWarning, "waiting for other commands that use the store");
    TRY(base::WaitLock(lock.get(), base::LockMode::kExclusive));
  }
  TRY(EditIndex(store.images_fd(), [&](std::string_view text) -> base::Result<std::string> {
    std::string index(text);
    for (const std::string& reference : references) {
      index = TRY(RemoveReference(index, reference, removed));
    }
    TRY(CheckPins(removed, TRY(EntriesOf(index)), TRY(Find(find_pins))));
    return index;
  }));
  (void)TRY(CollectGarbage(store.images_fd()));
  return removed;
}

base::Result<Renamed> TagImage(const Store& store, const std::string& source,
                               const std::string& target, const PinFinder& find_pins) {
  if (!store.exists()) return MissingImage(source);
  const UniqueFd lock = TRY(store.LockShared());
  Renamed renamed;
  TRY(EditIndex(store.images_fd(), [&](std::string_view text) -> base::Result<std::string> {
    const std::vector<ImageEntry> entries = TRY(EntriesOf(text));
    renamed.image = TRY(FindKnown(entries, source)).entry;
    renamed.image.name = target;
    const std::string& digest = renamed.image.manifest.digest;
    for (const ImageEntry& entry : entries) {
      if (entry.name == target && entry.manifest.digest != digest) renamed.before = entry;
    }
    std::string index = TRY(
        AddToIndex(text, renamed.image.manifest, {target}, PinnedManifests(TRY(Find(find_pins)))));
    if (!renamed.before) return index;
    renamed.dropped = true;
    for (const ImageEntry& entry : TRY(EntriesOf(index))) {
      if (entry.manifest.digest != renamed.before->manifest.digest) continue;
      renamed.dropped = false;
      renamed.unnamed = entry.name.empty();
    }
    return index;
  }));
  return renamed;
}

base::Result<uint64_t> CollectGarbage(int images_fd) {
  Reachable reachable(images_fd);
  const Index index = TRY(DecodeIndex(TRY(ParseDocument(TRY(ReadIndex(images_fd))))));
  if (const base::Status known = reachable.AddIndex(index); !known) {
    return Fail(ErrorCode::kCorrupt,
                "unused files of the store are kept, since it is damaged ({}); see `msb image "
                "check`",
                known.error().message());
  }
  uint64_t freed = TRY(RemoveOthers(images_fd, kBlobsDirectory, reachable));
  freed += TRY(RemoveOthers(images_fd, kConvertedDirectory, reachable));
  for (const std::string& name : TRY(base::ListDirectory(images_fd))) {
    const bool leftover = name.starts_with(std::string(".") + kIndexFile + ".") ||
                          name.starts_with(std::string(".") + kLayoutFile + ".");
    if (leftover) TRY(base::RemoveTreeAt(images_fd, name));
  }
  return freed;
}

}  // namespace msb::image
