#include "src/image/directory_tar.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/image/file_member.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr size_t kPiece = 1 << 20;

base::Error Changed() { return Fail(ErrorCode::kInvalid, "changed while it was read"); }

// A name in a directory, as a path that ends no link.
std::string PathAt(int directory_fd, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", directory_fd, name);
}

base::Result<std::vector<std::pair<std::string, std::string>>> ReadXattrs(const std::string& path) {
  std::vector<std::pair<std::string, std::string>> out;
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t length = ::llistxattr(path.c_str(), names.data(), names.size());
  if (length < 0 && errno == ENOTSUP) return out;
  if (length < 0) return base::FailErrno("cannot list extended attributes");
  names.resize(static_cast<size_t>(length));
  for (size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (size < 0) return base::FailErrno("cannot read attribute {}", name);
    value.resize(static_cast<size_t>(size));
    // What the host's security module says of its own files means nothing in an image.
    if (name != "security.selinux") out.emplace_back(name, std::move(value));
  }
  std::ranges::sort(out);
  return out;
}

class Walker {
 public:
  explicit Walker(TarWriter::Sink sink) : tar_(std::move(sink)), buffer_(kPiece) {}

  base::Status Run(int root_fd) {
    struct stat status = TRY(base::Stat(root_fd));
    device_ = status.st_dev;
    TarMember root = DescribeMember(status, "./");
    root.xattrs = TRY(ReadXattrs(PathAt(root_fd, ".")));
    TRY(tar_.Begin(root));
    TRY(WalkDirectory(root_fd, ""));
    return tar_.Finish();
  }

 private:
  base::Status WalkDirectory(int directory_fd, const std::string& prefix) {
    std::vector<std::string> names = TRY(base::ListDirectory(directory_fd));
    std::ranges::sort(names);
    for (const std::string& name : names) {
      TRY(Visit(directory_fd, name, prefix + name)
              .WithContext(base::EscapeForTerminal(prefix + name)));
    }
    return {};
  }

  base::Status Visit(int directory_fd, const std::string& name, const std::string& path) {
    struct stat status;
    if (::fstatat(directory_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
      return base::FailErrno("cannot examine");
    }
    const auto kind = KindOfMode(status.st_mode);
    if (!kind) return {};
    TarMember member = DescribeMember(status, path);
    const bool is_directory = *kind == MemberKind::kDirectory;
    if (!is_directory && status.st_nlink > 1) {
      const auto [first, is_new] = links_.try_emplace({status.st_dev, status.st_ino}, path);
      if (!is_new) {
        member.kind = MemberKind::kHardLink;
        member.link = first->second;
        return tar_.Begin(member);
      }
    }
    member.xattrs = TRY(ReadXattrs(PathAt(directory_fd, name)));
    if (*kind == MemberKind::kSymlink) member.link = TRY(ReadLinkAt(directory_fd, name));
    if (*kind == MemberKind::kFile) return WriteFile(directory_fd, name, status, member);
    if (!is_directory) return tar_.Begin(member);
    member.name += "/";
    TRY(tar_.Begin(member));
    if (status.st_dev != device_) return {};
    const UniqueFd child =
        TRY(base::OpenFileAt(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return WalkDirectory(child.get(), path + "/");
  }

  base::Status WriteFile(int directory_fd, const std::string& name, const struct stat& expected,
                         TarMember& member) {
    const UniqueFd fd =
        TRY(base::OpenFileAt(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const struct stat status = TRY(base::Stat(fd.get()));
    if (status.st_dev != expected.st_dev || status.st_ino != expected.st_ino ||
        status.st_size != expected.st_size) {
      return Changed();
    }
    std::vector<SparseSegment> segments = {{0, member.size}};
    if (static_cast<uint64_t>(status.st_blocks) * 512 < member.size) {
      segments = TRY(DataSegments(fd.get(), member.size));
      const bool whole = segments.size() == 1 && segments[0].length == member.size;
      if (!whole) member.sparse = segments;
    }
    TRY(tar_.Begin(member));
    for (const SparseSegment& segment : segments) TRY(CopyData(fd.get(), segment));
    return tar_.EndData();
  }

  base::Status CopyData(int fd, SparseSegment segment) {
    while (segment.length > 0) {
      const auto part = std::as_writable_bytes(
          std::span(buffer_).first(std::min<uint64_t>(buffer_.size(), segment.length)));
      const base::Status read = base::PreadFull(fd, part, segment.offset);
      if (!read && read.error().code() == ErrorCode::kClosed) return Changed();
      TRY(base::Status(read));
      TRY(tar_.Data({buffer_.data(), part.size()}));
      segment.offset += part.size();
      segment.length -= part.size();
    }
    return {};
  }

  TarWriter tar_;
  std::vector<char> buffer_;
  dev_t device_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  // first path of each
};

}  // namespace

base::Status WriteDirectoryTar(int directory_fd, TarWriter::Sink sink) {
  return Walker(std::move(sink)).Run(directory_fd);
}

}  // namespace msb::image
