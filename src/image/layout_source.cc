#include "src/image/layout_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "src/base/sys.h"
#include "src/image/archive_files.h"
#include "src/image/docker_archive.h"
#include "src/image/oci.h"
#include "src/image/store.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr size_t kPiece = 1 << 20;

class DirectoryLayout : public LayoutSource {
 public:
  explicit DirectoryLayout(UniqueFd directory) : directory_(std::move(directory)) {}

  base::Result<SourceFile> Open(const std::string& path) const override {
    // Links within the layout are followed; a pipe would make us wait for a writer.
    UniqueFd fd = TRY(base::OpenBeneath(directory_.get(), path, O_RDONLY | O_NONBLOCK));
    const struct stat status = TRY(base::Stat(fd.get()));
    if (!S_ISREG(status.st_mode)) return Fail(ErrorCode::kCorrupt, "{} is not a file", path);
    return SourceFile{std::move(fd), 0, static_cast<uint64_t>(status.st_size)};
  }

 private:
  UniqueFd directory_;
};

class ArchiveLayout : public LayoutSource {
 public:
  ArchiveLayout(UniqueFd blob, ArchiveFiles files)
      : blob_(std::move(blob)), files_(std::move(files)) {}

  base::Result<SourceFile> Open(const std::string& path) const override {
    const ArchiveFiles::Part part = TRY(files_.Find(path));
    return SourceFile{TRY(base::Duplicate(blob_.get())), part.offset, part.size};
  }

 private:
  UniqueFd blob_;
  ArchiveFiles files_;
};

base::Result<std::unique_ptr<LayoutSource>> OpenArchive(int fd, const std::string& directory,
                                                        Converter& converter,
                                                        const OnBytes& on_bytes) {
  UniqueFd blob = TRY(base::OpenUnnamed(directory));
  const UniqueFd index = TRY(base::OpenUnnamed(directory));
  const auto conversion = TRY(converter.StartLayer(blob.get(), index.get()));
  uint64_t bytes = 0;
  const base::Status pushed = PushAll(fd, [&](std::string_view data) -> base::Status {
    on_bytes(bytes += data.size());
    return base::WriteFull(conversion->pipe(), data);
  });
  if (!pushed && pushed.error().sys_errno() != EPIPE) return pushed.error();
  TRY(conversion->Finish().WithContext("the archive"));
  TRY(base::Status(pushed));
  auto files = TRY(ReadArchiveFiles(index.get()));
  return std::make_unique<ArchiveLayout>(std::move(blob), std::move(files));
}

base::Status CheckIsLayout(const LayoutSource& layout, const std::string& path) {
  if (layout.Open(kIndexFile) || layout.Open(kDockerManifestFile)) return {};
  if (layout.Open("repositories")) {
    return Fail(ErrorCode::kUnsupported,
                "{} was written by a Docker older than 1.10 (no manifest.json): load it there and "
                "save it again with a newer one",
                path);
  }
  return Fail(ErrorCode::kInvalid,
              "{} is neither an OCI image layout nor a docker-archive (no index.json, no "
              "manifest.json): if it is a root file system, use `msb image import {} --tag NAME`",
              path, path);
}

}  // namespace

base::Result<std::string> LayoutSource::Read(const std::string& path) const {
  const SourceFile file = TRY(Open(path));
  if (file.size > kMaxDocument) {
    return Fail(ErrorCode::kLimit, "{} has {} bytes (limit {})", path, file.size, kMaxDocument);
  }
  std::string content(file.size, '\0');
  TRY(base::PreadFull(file.fd.get(), std::as_writable_bytes(std::span(content)), file.offset));
  return content;
}

base::Status PushFile(const SourceFile& file,
                      const std::function<base::Status(std::string_view)>& sink) {
  std::vector<char> buffer(std::min<uint64_t>(file.size, kPiece));
  for (uint64_t done = 0; done < file.size;) {
    const auto part = std::span(buffer).first(std::min<uint64_t>(buffer.size(), file.size - done));
    TRY(base::PreadFull(file.fd.get(), std::as_writable_bytes(part), file.offset + done));
    TRY(sink({part.data(), part.size()}));
    done += part.size();
  }
  return {};
}

base::Status PushAll(int fd, const std::function<base::Status(std::string_view)>& sink) {
  std::vector<char> buffer(kPiece);
  for (;;) {
    const size_t got = TRY(base::Read(fd, std::as_writable_bytes(std::span(buffer))));
    if (got == 0) return {};
    TRY(sink({buffer.data(), got}));
  }
}

base::Result<std::unique_ptr<LayoutSource>> OpenLayout(const std::string& path,
                                                       const std::string& temporary_directory,
                                                       Converter& converter,
                                                       const OnBytes& on_bytes) {
  UniqueFd fd = TRY(path == "-" ? base::Duplicate(STDIN_FILENO) : base::OpenFile(path, O_RDONLY));
  std::unique_ptr<LayoutSource> layout;
  if (S_ISDIR(TRY(base::Stat(fd.get())).st_mode)) {
    layout = std::make_unique<DirectoryLayout>(std::move(fd));
  } else {
    layout = TRY(OpenArchive(fd.get(), temporary_directory, converter, on_bytes));
  }
  TRY(CheckIsLayout(*layout, path));
  return layout;
}

base::Result<std::unique_ptr<LayoutSource>> OpenConvertedLayer(int images_fd,
                                                               const std::string& digest) {
  UniqueFd blob = TRY(base::OpenFileAt(images_fd, LayerFile(digest, "blob"), O_RDONLY));
  const UniqueFd index = TRY(base::OpenFileAt(images_fd, LayerFile(digest, "index"), O_RDONLY));
  auto files = ReadArchiveFiles(index.get());
  if (!files && files.error().code() == ErrorCode::kLimit) return nullptr;
  return std::make_unique<ArchiveLayout>(std::move(blob), TRY(std::move(files)));
}

bool IsImageArchive(const LayoutSource& source) {
  if (source.Open(kLayoutFile) && source.Open(kIndexFile)) return true;
  const auto manifest = source.Read(kDockerManifestFile);
  if (!manifest) return false;
  const auto images = DecodeDockerManifest(*manifest);
  return images && !images->empty() && source.Open(images->front().config);
}

}  // namespace msb::image
