#include "src/image/save.h"

#include <fcntl.h>

#include <map>

#include "src/base/sys.h"
#include "src/image/index_edit.h"
#include "src/image/layout_source.h"
#include "src/image/sha256.h"
#include "src/image/tar_writer.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

TarMember MemberOf(MemberKind kind, const std::string& name, uint64_t size) {
  TarMember member;
  member.kind = kind;
  member.name = name;
  member.mode = kind == MemberKind::kDirectory ? 0755 : 0644;
  member.size = size;
  return member;
}

class Saver {
 public:
  Saver(const Store& store, const std::function<base::Status(std::string_view)>& sink,
        Progress& progress)
      : store_(store), progress_(progress), tar_([this, &sink](std::string_view data) {
          progress_.Update(written_ += data.size());
          return sink(data);
        }) {}

  base::Status Run(const std::vector<ImageEntry>& entries) {
    std::string index = EmptyIndex();
    for (const ImageEntry& entry : entries) {
      TRY(AddSources(entry.manifest));
      const std::vector<std::string> names(entry.name.empty() ? 0 : 1, entry.name);
      index = TRY(AddToIndex(index, entry.manifest, names));
    }
    uint64_t total = 0;
    for (const auto& [digest, size] : sources_) total += size;
    progress_.Begin("saving", total);
    for (const char* directory : {"blobs/", "blobs/sha256/"}) {
      TRY(tar_.Begin(MemberOf(MemberKind::kDirectory, directory, 0)));
    }
    for (const auto& [digest, size] : sources_) TRY(WriteSource(digest, size));
    TRY(WriteDocument(kIndexFile, index));
    TRY(WriteDocument(kLayoutFile, kLayoutContent));
    TRY(tar_.Finish());
    progress_.End(FormatBytes(written_));
    return {};
  }

 private:
  // What the manifest leads to, by digest: shared layers once.
  base::Status AddSources(const Descriptor& descriptor) {
    const std::string text =
        TRY(store_.ReadBlob(descriptor.digest).WithContext("see `msb image check`"));
    const Manifest manifest = TRY(DecodeManifest(TRY(ParseDocument(text))));
    sources_[descriptor.digest] = text.size();
    sources_[manifest.config.digest] = manifest.config.size;
    for (const Descriptor& layer : manifest.layers) sources_[layer.digest] = layer.size;
    return {};
  }

  base::Status WriteSource(const std::string& digest, uint64_t size) {
    SourceFile file;
    file.fd = TRY(base::OpenFileAt(store_.images_fd(), BlobFile(digest), O_RDONLY));
    file.size = size;
    TRY(tar_.Begin(MemberOf(MemberKind::kFile, BlobFile(digest), size)));
    Sha256 hash;
    TRY(PushFile(file, [&](std::string_view data) {
      hash.Update(data);
      return tar_.Data(data);
    }));
    if (ToDigest(hash.Finish()) != digest) {
      return Fail(ErrorCode::kCorrupt, "images/{} is damaged: see `msb image check`",
                  BlobFile(digest));
    }
    return tar_.EndData();
  }

  base::Status WriteDocument(const char* name, std::string_view content) {
    TRY(tar_.Begin(MemberOf(MemberKind::kFile, name, content.size())));
    TRY(tar_.Data(content));
    return tar_.EndData();
  }

  const Store& store_;
  Progress& progress_;
  uint64_t written_ = 0;
  TarWriter tar_;
  std::map<std::string, uint64_t> sources_;  // size by digest
};

}  // namespace

base::Status SaveImages(const Store& store, const std::vector<ImageEntry>& entries,
                        const std::function<base::Status(std::string_view)>& sink,
                        Progress& progress) {
  return Saver(store, sink, progress).Run(entries);
}

}  // namespace msb::image
