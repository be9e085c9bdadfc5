#include "src/image/layout_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/image/layer_index.h"
#include "src/image/oci.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr size_t kPiece = 1 << 20;
// Of an archive's index, which the trusted side reads: some 100,000 files.
constexpr size_t kMaxArchiveIndex = 16 << 20;

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
  struct Part {
    uint64_t offset;
    uint64_t size;
  };

  ArchiveLayout(UniqueFd blob, std::map<std::string, Part> files)
      : blob_(std::move(blob)), files_(std::move(files)) {}

  base::Result<SourceFile> Open(const std::string& path) const override {
    const auto found = files_.find(path);
    if (found == files_.end()) {
      return Fail(ErrorCode::kNotFound, "the archive has no {}", base::EscapeForTerminal(path));
    }
    return SourceFile{TRY(base::Duplicate(blob_.get())), found->second.offset, found->second.size};
  }

 private:
  UniqueFd blob_;
  std::map<std::string, Part> files_;
};

// The plain files of an archive; hard links are other names of files before them.
base::Result<std::map<std::string, ArchiveLayout::Part>> FilesOf(int index_fd) {
  const UniqueFd fd = TRY(base::OpenFile(fmt::format("/proc/self/fd/{}", index_fd), O_RDONLY));
  const std::string bytes =
      TRY(base::ReadToEnd(fd.get(), kMaxArchiveIndex).WithContext("the archive's list of files"));
  IndexReader reader = TRY(IndexReader::Open(bytes));
  std::map<std::string, ArchiveLayout::Part> files;
  while (const auto entry = TRY(reader.Next())) {
    const std::string path(entry->path);
    if (entry->kind == EntryKind::kFile && entry->chunk_bits == 0) {
      files[path] = {entry->blob_offset, entry->size};
    } else if (entry->kind == EntryKind::kHardLink) {
      const auto target = files.find(std::string(entry->target));
      if (target != files.end()) files[path] = target->second;
    }
  }
  return files;
}

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
  auto files = TRY(FilesOf(index.get()));
  return std::make_unique<ArchiveLayout>(std::move(blob), std::move(files));
}

base::Status CheckIsLayout(const LayoutSource& layout, const std::string& path) {
  if (layout.Open("index.json")) return {};
  if (layout.Open("manifest.json")) {
    return Fail(ErrorCode::kUnsupported,
                "{} is an archive of Docker's older kind (docker save before version 25), which "
                "this version does not load: make an OCI archive of it, for instance with `skopeo "
                "copy docker-archive:{} oci-archive:NEW.tar`",
                path, path);
  }
  return Fail(ErrorCode::kInvalid,
              "{} is not an OCI image layout (no index.json): if it is a root file system, use "
              "`msb image import {} --tag NAME`",
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

}  // namespace msb::image
