#include "src/image/tree_pack.h"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "src/base/sys.h"
#include "src/image/file_member.h"
#include "src/image/layer_index.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr size_t kPiece = 256 * 1024;
constexpr uint64_t kMinSparse = 64 * 1024;  // smaller files are not worth a look for holes

// What the kernel makes up: endless, or full of files that are not data. statfs(2), f_type.
bool IsKernelFileSystem(int fd) {
  constexpr std::array<uint32_t, 8> kTypes = {
      0x9fa0,      // proc
      0x62656572,  // sysfs
      0x63677270,  // cgroup2
      0x0027e0eb,  // cgroup
      0x1cd1,      // devpts
      0x64626720,  // debugfs
      0x74726163,  // tracefs
      0x73636673,  // securityfs
  };
  struct statfs status;
  return ::fstatfs(fd, &status) == 0 &&
         std::ranges::find(kTypes, static_cast<uint32_t>(status.f_type)) != kTypes.end();
}

base::Error Changed() {
  return Fail(ErrorCode::kInvalid, "changed while it was read: its end is zeroes");
}

}  // namespace

TreePacker::TreePacker(TarWriter::Sink sink, OnSkipped on_skipped)
    : sink_(std::move(sink)),
      tar_([this](std::string_view data) { return Put(data); }),
      on_skipped_(std::move(on_skipped)),
      buffer_(kPiece) {}

// A failure of the sink ends the whole; others only concern the file at hand.
base::Status TreePacker::Put(std::string_view data) {
  base::Status put = sink_(data);
  if (!put) sink_failed_ = true;
  return put;
}

base::Status TreePacker::Pack(const std::string& path, const PackOptions& options) {
  struct stat status;
  if (::fstatat(AT_FDCWD, path.c_str(), &status, options.follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("cannot examine");
  }
  if (!KindOfMode(status.st_mode)) return Fail(ErrorCode::kUnsupported, "a socket is not copied");
  if (!S_ISDIR(status.st_mode)) {
    if (options.name.empty()) return Fail(ErrorCode::kInvalid, "not a directory");
    TRY(PackEntry(AT_FDCWD, path, options.name, status, options.follow));
    return tar_.Finish();
  }
  if (!options.recursive) return Fail(ErrorCode::kInvalid, "is a directory");
  const UniqueFd fd =
      TRY(base::OpenFile(path, O_RDONLY | O_DIRECTORY | (options.follow ? 0 : O_NOFOLLOW)));
  const std::string prefix = options.name.empty() ? "" : options.name + "/";
  if (!prefix.empty()) TRY(tar_.Begin(DescribeMember(status, prefix)));
  TRY(WalkDirectory(fd.get(), prefix, status.st_dev));
  return tar_.Finish();
}

base::Status TreePacker::WalkDirectory(int directory_fd, const std::string& prefix, dev_t device) {
  for (const std::string& name : TRY(base::ListDirectory(directory_fd))) {
    const std::string path = prefix + name;
    struct stat status;
    base::Status packed;
    if (path.size() > kMaxPathLength) {
      packed = Fail(ErrorCode::kLimit, "a path longer than {} bytes", kMaxPathLength);
    } else if (::fstatat(directory_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
      packed = base::FailErrno("cannot examine");
    } else if (S_ISDIR(status.st_mode)) {
      packed = PackDirectory(directory_fd, name, path, status, device);
    } else if (KindOfMode(status.st_mode)) {
      packed = PackEntry(directory_fd, name, path, status, false);
    }
    if (packed) continue;
    if (sink_failed_) return packed;
    on_skipped_(path, packed.error());
  }
  return {};
}

base::Status TreePacker::PackDirectory(int directory_fd, const std::string& name,
                                       const std::string& path, const struct stat& status,
                                       dev_t parent_device) {
  const UniqueFd fd =
      TRY(base::OpenFileAt(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(tar_.Begin(DescribeMember(status, path + "/")));
  if (status.st_dev != parent_device && IsKernelFileSystem(fd.get())) return {};
  return WalkDirectory(fd.get(), path + "/", status.st_dev);
}

base::Status TreePacker::PackEntry(int directory_fd, const std::string& name,
                                   const std::string& path, const struct stat& status,
                                   bool follow) {
  if (S_ISREG(status.st_mode)) {
    auto first = status.st_nlink > 1 ? FirstName(status) : std::nullopt;
    if (!first) {
      TRY(PackFile(directory_fd, name, path, follow));
      if (status.st_nlink > 1) Remember(status, path);
      return {};
    }
    TarMember member = DescribeMember(status, path);
    member.kind = MemberKind::kHardLink;
    member.link = *std::move(first);
    return tar_.Begin(member);
  }
  TarMember member = DescribeMember(status, path);
  if (S_ISLNK(status.st_mode)) member.link = TRY(ReadLinkAt(directory_fd, name));
  return tar_.Begin(member);
}

// Where this file is in the tar already. Forgotten with the last of its names.
std::optional<std::string> TreePacker::FirstName(const struct stat& status) {
  const auto found = links_.find({status.st_dev, status.st_ino});
  if (found == links_.end()) return std::nullopt;
  std::string path = found->second.path;
  if (--found->second.left == 0) links_.erase(found);
  return path;
}

void TreePacker::Remember(const struct stat& status, const std::string& path) {
  if (links_.size() >= kMaxKnownLinks) return;  // copied as a file of its own
  links_.try_emplace({status.st_dev, status.st_ino}, Link{path, status.st_nlink - 1});
}

base::Status TreePacker::PackFile(int directory_fd, const std::string& name,
                                  const std::string& path, bool follow) {
  // O_NONBLOCK: what was a file a moment ago may be a FIFO now.
  const UniqueFd fd = TRY(base::OpenFileAt(
      directory_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW)));
  const struct stat status = TRY(base::Stat(fd.get()));
  if (!S_ISREG(status.st_mode)) return Fail(ErrorCode::kInvalid, "is no file any more");
  TarMember member = DescribeMember(status, path);
  const bool holes =
      member.size >= kMinSparse && static_cast<uint64_t>(status.st_blocks) * 512 < member.size;
  if (holes) {
    std::vector<SparseSegment> segments = TRY(DataSegments(fd.get(), member.size));
    if (segments.size() != 1 || segments[0].length != member.size) member.sparse = segments;
  }
  return member.size < kPiece && !member.sparse ? PackSmall(fd.get(), member)
                                                : PackLarge(fd.get(), member);
}

// Read first, then announced: so the size is right, also where stat(2) does not know it.
base::Status TreePacker::PackSmall(int fd, TarMember& member) {
  const bool unsized = member.size == 0;
  std::string gathered;
  size_t filled = 0;
  for (;;) {
    const size_t got =
        TRY(base::Read(fd, std::as_writable_bytes(std::span(buffer_).subspan(filled))));
    filled += got;
    if (got == 0 || (!unsized && filled == member.size)) break;
    if (filled < buffer_.size()) continue;
    if (!unsized) break;  // it has grown: what there was at first
    gathered.append(buffer_.data(), filled);
    filled = 0;
    if (gathered.size() > kMaxUnsized) {
      return Fail(ErrorCode::kLimit, "has no size, and more than {} MiB", kMaxUnsized >> 20);
    }
  }
  member.size = gathered.size() + filled;
  TRY(tar_.Begin(member));
  TRY(tar_.Data(gathered));
  TRY(tar_.Data({buffer_.data(), filled}));
  return tar_.EndData();
}

base::Status TreePacker::PackLarge(int fd, const TarMember& member) {
  TRY(tar_.Begin(member));
  if (!member.sparse) {
    TRY(CopyData(fd, {0, member.size}, member));
  } else {
    for (const SparseSegment& segment : *member.sparse) TRY(CopyData(fd, segment, member));
  }
  return tar_.EndData();
}

// As much as was announced, whatever happens to the file.
base::Status TreePacker::CopyData(int fd, SparseSegment segment, const TarMember& member) {
  bool failed = false;
  while (segment.length > 0) {
    size_t part = std::min<uint64_t>(buffer_.size(), segment.length);
    if (failed) {
      std::memset(buffer_.data(), 0, part);
    } else {
      const ssize_t got = ::pread(fd, buffer_.data(), part, static_cast<off_t>(segment.offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        failed = true;
        on_skipped_(member.name, got < 0 ? base::FailErrno("cannot read") : Changed());
        continue;
      }
      part = static_cast<size_t>(got);
    }
    TRY(tar_.Data({buffer_.data(), part}));
    segment.offset += part;
    segment.length -= part;
  }
  return {};
}

}  // namespace msb::image
