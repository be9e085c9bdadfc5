#include "src/image/directory_tar.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/sys.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr size_t kPiece = 1 << 20;

base::Error Changed() { return Fail(ErrorCode::kInvalid, "changed while it was read"); }

std::optional<MemberKind> KindOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return MemberKind::kFile;
    case S_IFDIR:
      return MemberKind::kDirectory;
    case S_IFLNK:
      return MemberKind::kSymlink;
    case S_IFCHR:
      return MemberKind::kCharDevice;
    case S_IFBLK:
      return MemberKind::kBlockDevice;
    case S_IFIFO:
      return MemberKind::kFifo;
    default:
      return std::nullopt;  // sockets
  }
}

// A name in a directory, as a path that ends no link.
std::string PathAt(int directory_fd, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", directory_fd, name);
}

base::Result<std::string> ReadLink(int directory_fd, const std::string& name) {
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlinkat(directory_fd, name.c_str(), target.data(), target.size());
  if (length < 0) return base::FailErrno("cannot read a link");
  target.resize(static_cast<size_t>(length));
  return target;
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

base::Result<std::vector<SparseSegment>> DataSegments(int fd, uint64_t size) {
  std::vector<SparseSegment> segments;
  for (uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    const off_t hole = data < 0 ? -1 : ::lseek(fd, data, SEEK_HOLE);
    if (data < 0 || hole < 0) return base::FailErrno("cannot find holes");
    const uint64_t end = std::min(static_cast<uint64_t>(hole), size);
    if (static_cast<uint64_t>(data) < end) {
      segments.push_back({static_cast<uint64_t>(data), end - static_cast<uint64_t>(data)});
    }
    at = static_cast<uint64_t>(hole);
  }
  return segments;
}

class Walker {
 public:
  explicit Walker(TarWriter::Sink sink) : tar_(std::move(sink)), buffer_(kPiece) {}

  base::Status Run(int root_fd) {
    struct stat status = TRY(base::Stat(root_fd));
    device_ = status.st_dev;
    TarMember root = Describe(status, "./");
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
    const auto kind = KindOf(status.st_mode);
    if (!kind) return {};
    TarMember member = Describe(status, path);
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
    if (*kind == MemberKind::kSymlink) member.link = TRY(ReadLink(directory_fd, name));
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

  static TarMember Describe(const struct stat& status, const std::string& path) {
    TarMember member;
    member.kind = KindOf(status.st_mode).value_or(MemberKind::kFile);
    member.name = path;
    member.mode = static_cast<uint16_t>(status.st_mode & 07777);
    member.uid = status.st_uid;
    member.gid = status.st_gid;
    member.mtime = {status.st_mtim.tv_sec, static_cast<uint32_t>(status.st_mtim.tv_nsec)};
    if (member.kind == MemberKind::kFile) member.size = static_cast<uint64_t>(status.st_size);
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
      member.device_major = major(status.st_rdev);
      member.device_minor = minor(status.st_rdev);
    }
    return member;
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
