#include "src/image/file_member.h"

#include <limits.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace msb::image {

std::optional<MemberKind> KindOfMode(mode_t mode) {
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
      return std::nullopt;
  }
}

TarMember DescribeMember(const struct stat& status, std::string name) {
  TarMember member;
  member.kind = KindOfMode(status.st_mode).value_or(MemberKind::kFile);
  member.name = std::move(name);
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

base::Result<std::string> ReadLinkAt(int directory_fd, const std::string& name) {
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlinkat(directory_fd, name.c_str(), target.data(), target.size());
  if (length < 0) return base::FailErrno("cannot read a link");
  target.resize(static_cast<size_t>(length));
  return target;
}

base::Result<std::vector<SparseSegment>> DataSegments(int fd, uint64_t size) {
  std::vector<SparseSegment> segments;
  for (uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0 && errno == EINVAL) return std::vector<SparseSegment>{{0, size}};
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

}  // namespace msb::image
