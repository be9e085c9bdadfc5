#include "src/image/tree_extract.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <ranges>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/image/new_file.h"
#include "src/image/tree_names.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

// What is written before the disk is looked at for the first time, and from then on between two
// looks: less than what is to stay free.
constexpr uint64_t kUncheckedBytes = 64 << 20;
constexpr uint64_t kUncheckedEntries = 5000;
constexpr uint64_t kStepBytes = 8 << 20;
constexpr uint64_t kStepEntries = 1000;
constexpr uint64_t kBlockBytes = 4096;       // what an entry, or a piece of a sparse file, takes
constexpr uint64_t kKeepFreeFiles = 10'000;  // where the number of files is limited
constexpr size_t kPiece = 1 << 20;

std::string Quoted(std::string_view name) {
  return fmt::format("'{}'", base::EscapeForTerminal(name.substr(0, 300)));
}

base::Status SetTimes(int dir_fd, const char* name, const TarTime& mtime, int flags) {
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                             {.tv_sec = mtime.seconds, .tv_nsec = mtime.nanoseconds}};
  const int done =
      name == nullptr ? ::futimens(dir_fd, times) : ::utimensat(dir_fd, name, times, flags);
  return done < 0 ? base::FailErrno("cannot set the time") : base::Status();
}

base::Error LinkInTheWay() {
  return Fail(ErrorCode::kExists, "a symbolic link is in the way, and is not followed");
}

}  // namespace

TreeExtractor::TreeExtractor(int root_fd, ExtractPolicy policy)
    : root_fd_(root_fd), policy_(std::move(policy)) {}

base::Status TreeExtractor::Run(TarStream& stream) {
  TarReader tar(stream);
  TRY(TakeAll(tar));
  std::array<char, 1> more;
  if (policy_.hostile && TRY(stream.ReadRecord(more))) {
    // Somebody who goes on talking would keep us here for ever.
    return Fail(ErrorCode::kCorrupt, "there is more after the end of the tar");
  }
  TRY(stream.Drain());  // archives are padded
  for (const Later& link : symlinks_) TRY(MakeSymlink(link).WithContext(Quoted(link.path)));
  parent_.Reset();
  for (const Later& directory : directories_ | std::views::reverse) {
    TRY(FinishDirectory(directory).WithContext(Quoted(directory.path)));
  }
  return {};
}

base::Status TreeExtractor::TakeAll(TarReader& tar) {
  while (std::optional<TarMember> member = TRY(tar.Next())) {
    if (++counts_.entries > kMaxTreeEntries) {
      return Fail(ErrorCode::kLimit, "more than {} files", kMaxTreeEntries);
    }
    const std::string name = member->name;
    TRY(CheckSpace(kBlockBytes, 1));
    TRY(Take(*member, tar).WithContext(Quoted(name)));
  }
  return {};
}

base::Status TreeExtractor::Take(TarMember& member, TarReader& tar) {
  const Names names = TRY(SplitMemberName(member.name));
  TRY(CheckAllowed(names, member));
  if (names.empty()) return {};  // "./": the directory that is there
  switch (member.kind) {
    case MemberKind::kFile:
      return TakeFile(names, member, tar);
    case MemberKind::kDirectory:
      return TakeDirectory(names, member);
    case MemberKind::kHardLink:
      return TakeHardLink(names, member);
    case MemberKind::kSymlink:
      if (member.link.empty() || member.link.find('\0') != std::string::npos) {
        return Fail(ErrorCode::kCorrupt, "a symbolic link without a target");
      }
      return Defer(symlinks_, names, member);
    default:
      ++counts_.skipped;
      return {};
  }
}

base::Status TreeExtractor::CheckAllowed(const Names& names, const TarMember& member) const {
  if (names.empty() && member.kind != MemberKind::kDirectory) {
    return Fail(ErrorCode::kCorrupt, "a name without a name");
  }
  if (policy_.only.empty()) return {};
  if (names.empty() || names[0] != policy_.only) {
    return Fail(ErrorCode::kCorrupt, "is not what was asked for");
  }
  if (policy_.single_file && (names.size() != 1 || member.kind != MemberKind::kFile)) {
    return Fail(ErrorCode::kCorrupt, "is not the file that was asked for");
  }
  return {};
}

// --- files ---------------------------------------------------------------------------------------

base::Status TreeExtractor::TakeFile(const Names& names, const TarMember& member, TarReader& tar) {
  const int parent = TRY(Parent(names));
  NewFile file = TRY(NewFile::Create(parent));
  TRY(WriteContents(file.fd(), member, tar));
  TRY(ApplyMetadata(file.fd(), MetadataOf(member)));
  TRY(file.Publish(names.back(), [&] { return MayReplace(parent, names.back()); }));
  return policy_.hostile ? RememberMade(TRY(base::Stat(file.fd()))) : base::Status();
}

base::Status TreeExtractor::WriteContents(int fd, const TarMember& member, TarReader& tar) {
  if (!member.sparse) return WriteSegment(fd, {0, member.size}, tar);
  for (const SparseSegment& segment : *member.sparse) TRY(WriteSegment(fd, segment, tar));
  if (::ftruncate(fd, static_cast<off_t>(member.size)) < 0) {
    return base::FailErrno("cannot set the size");
  }
  return {};
}

base::Status TreeExtractor::WriteSegment(int fd, SparseSegment segment, TarReader& tar) {
  while (segment.length > 0) {
    const std::string_view data = TRY(tar.Data(std::min<uint64_t>(segment.length, kPiece)));
    if (data.empty()) return Fail(ErrorCode::kCorrupt, "ends before its size");
    TRY(base::PwriteFull(fd, std::as_bytes(std::span(data)), segment.offset));
    segment.offset += data.size();
    segment.length -= data.size();
    counts_.bytes += data.size();
    TRY(CheckSpace(data.size(), 0));
  }
  return CheckSpace(kBlockBytes, 0);  // however short it was
}

// Nobody says beforehand how much will come: it must not be so much that the host suffers.
base::Status TreeExtractor::CheckSpace(uint64_t bytes, uint64_t entries) {
  unchecked_bytes_ += bytes;
  unchecked_entries_ += entries;
  const bool due = unchecked_bytes_ >= (checked_ ? kStepBytes : kUncheckedBytes) ||
                   unchecked_entries_ >= (checked_ ? kStepEntries : kUncheckedEntries);
  if (policy_.keep_free_bytes == 0 || !due) return {};
  checked_ = true;
  unchecked_bytes_ = unchecked_entries_ = 0;
  struct statvfs disk;
  if (::fstatvfs(root_fd_, &disk) < 0) return base::FailErrno("cannot examine the disk");
  if (disk.f_bavail < policy_.keep_free_bytes / disk.f_frsize) {
    return Fail(ErrorCode::kNoSpace, "less than {} MiB are left on the disk: the copy ends here",
                policy_.keep_free_bytes >> 20);
  }
  if (disk.f_files != 0 && disk.f_favail < kKeepFreeFiles) {
    return Fail(ErrorCode::kNoSpace,
                "the disk can hold less than {} more files: the copy ends here", kKeepFreeFiles);
  }
  return {};
}

base::Status TreeExtractor::ApplyMetadata(int fd, const Metadata& metadata) const {
  if (policy_.keep_owners && ::fchown(fd, metadata.uid, metadata.gid) < 0) {
    return base::FailErrno("cannot set the owner");
  }
  if (::fchmod(fd, metadata.mode & policy_.mode_mask) < 0) {
    return base::FailErrno("cannot set the mode");
  }
  return SetTimes(fd, nullptr, metadata.mtime, 0);
}

base::Status TreeExtractor::MayReplace(int dir_fd, const std::string& name) const {
  struct stat status;
  if (::fstatat(dir_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
    return errno == ENOENT ? base::Status() : base::FailErrno("cannot examine");
  }
  if (S_ISDIR(status.st_mode)) return Fail(ErrorCode::kExists, "a directory is in the way");
  if (policy_.hostile && !S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode)) {
    return Fail(ErrorCode::kExists, "a device, FIFO or socket is in the way");
  }
  if (made_.contains({status.st_dev, status.st_ino})) {
    return Fail(ErrorCode::kCorrupt, "comes twice");
  }
  return {};
}

// --- links ---------------------------------------------------------------------------------------

base::Status TreeExtractor::TakeHardLink(const Names& names, const TarMember& member) {
  const Names target = TRY(SplitMemberName(member.link).WithContext("its link's target"));
  if (target.empty() || (!policy_.only.empty() && target[0] != policy_.only)) {
    return Fail(ErrorCode::kCorrupt, "a hard link to what was not asked for");
  }
  auto from = OpenDirectory(JoinNames(target, target.size() - 1));
  struct stat status;
  const bool known =
      from && ::fstatat(from->get(), target.back().c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISREG(status.st_mode) &&
      (!policy_.hostile || made_.contains({status.st_dev, status.st_ino}));
  if (!known) {
    return Fail(ErrorCode::kCorrupt, "a hard link to {}, which is no file that came before",
                Quoted(member.link));
  }
  const int parent = TRY(Parent(names));
  return PlaceAt(
      parent, names.back(),
      [&](const std::string& as) -> base::Status {
        if (::linkat(from->get(), target.back().c_str(), parent, as.c_str(), 0) < 0) {
          return base::FailErrno("cannot make a hard link");
        }
        return {};
      },
      [&] { return MayReplace(parent, names.back()); });
}

base::Status TreeExtractor::MakeSymlink(const Later& link) {
  TRY(CheckSpace(kBlockBytes, 1));
  const Names names = TRY(SplitMemberName(link.path));
  const int parent = TRY(Parent(names));
  TRY(PlaceAt(
      parent, names.back(),
      [&](const std::string& as) -> base::Status {
        if (::symlinkat(link.target.c_str(), parent, as.c_str()) < 0) {
          return base::FailErrno("cannot make a symbolic link");
        }
        return SetTimes(parent, as.c_str(), link.metadata.mtime, AT_SYMLINK_NOFOLLOW);
      },
      [&] { return MayReplace(parent, names.back()); }));
  struct stat status;
  if (::fstatat(parent, names.back().c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("cannot examine");
  }
  if (policy_.keep_owners && ::fchownat(parent, names.back().c_str(), link.metadata.uid,
                                        link.metadata.gid, AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("cannot set the owner");
  }
  return policy_.hostile ? RememberMade(status) : base::Status();
}

// --- directories ---------------------------------------------------------------------------------

base::Status TreeExtractor::TakeDirectory(const Names& names, const TarMember& member) {
  const int parent = TRY(Parent(names));
  if (::mkdirat(parent, names.back().c_str(), 0700) == 0) {
    struct stat made;
    if (::fstatat(parent, names.back().c_str(), &made, AT_SYMLINK_NOFOLLOW) < 0) {
      return base::FailErrno("cannot examine");
    }
    TRY(Defer(directories_, names, member));
    directories_.back().id = {made.st_dev, made.st_ino};
    return {};
  }
  if (errno != EEXIST) return base::FailErrno("cannot create the directory");
  // One that is there stays as it is; whether it is one, the look-up of what is in it says.
  auto there = OpenDirectory(JoinNames(names, names.size()));
  return there ? base::Status() : base::Status(std::move(there).error());
}

base::Status TreeExtractor::FinishDirectory(const Later& directory) {
  const UniqueFd opened = TRY(OpenDirectory(directory.path));
  // The descriptor is only a place; this one can be changed.
  const UniqueFd fd = TRY(base::OpenFileAt(opened.get(), ".", O_RDONLY | O_DIRECTORY));
  // Whoever may write to the destination may have put another one there.
  const struct stat status = TRY(base::Stat(fd.get()));
  if (FileId{status.st_dev, status.st_ino} != directory.id) {
    return Fail(ErrorCode::kExists, "another directory has taken its place");
  }
  return ApplyMetadata(fd.get(), directory.metadata);
}

base::Result<UniqueFd> TreeExtractor::OpenDirectory(const std::string& path) const {
  auto opened = base::OpenBeneath(root_fd_, path.empty() ? "." : path, O_PATH | O_DIRECTORY, 0,
                                  policy_.hostile ? base::kResolveNoSymlinks : 0);
  if (opened) return opened;
  switch (opened.error().sys_errno()) {
    case ELOOP:
      return LinkInTheWay();
    case EXDEV:
      return Fail(ErrorCode::kExists, "a symbolic link in the way leads out of the destination");
    case ENOTDIR:
      return Fail(ErrorCode::kExists, "something that is no directory is in the way");
    default:
      return base::Error(
          opened.error().code(),
          "cannot open its directory: " + base::ErrnoText(opened.error().sys_errno()),
          opened.error().sys_errno());
  }
}

base::Result<UniqueFd> TreeExtractor::MakeParents(const Names& names) const {
  UniqueFd at = TRY(OpenDirectory(""));
  for (size_t i = 0; i + 1 < names.size(); ++i) {
    if (::mkdirat(at.get(), names[i].c_str(), 0755) < 0 && errno != EEXIST) {
      return base::FailErrno("cannot create the directory {}", Quoted(JoinNames(names, i + 1)));
    }
    at = TRY(OpenDirectory(JoinNames(names, i + 1)));
  }
  return at;
}

base::Result<int> TreeExtractor::Parent(const Names& names) {
  std::string path = JoinNames(names, names.size() - 1);
  if (parent_ && path == parent_path_) return parent_.get();
  auto opened = OpenDirectory(path);
  if (!opened && opened.error().sys_errno() == ENOENT) {
    if (policy_.hostile) return Fail(ErrorCode::kCorrupt, "its directory did not come before it");
    opened = MakeParents(names);
  }
  parent_ = TRY(std::move(opened));
  parent_path_ = std::move(path);
  return parent_.get();
}

// --- what has to be kept -------------------------------------------------------------------------

base::Status TreeExtractor::Remember(size_t bytes) {
  remembered_ += bytes;
  if (remembered_ <= kMaxRemembered) return {};
  return Fail(ErrorCode::kLimit, "too many links and directories in one copy: copy parts of it");
}

base::Status TreeExtractor::RememberMade(const struct stat& status) {
  constexpr size_t kNodeBytes = 48;
  TRY(Remember(kNodeBytes));
  made_.insert({status.st_dev, status.st_ino});
  return {};
}

TreeExtractor::Metadata TreeExtractor::MetadataOf(const TarMember& member) {
  return {member.mode, member.mtime, member.uid, member.gid};
}

base::Status TreeExtractor::Defer(std::vector<Later>& list, const Names& names,
                                  const TarMember& member) {
  Later later{JoinNames(names, names.size()), member.link, MetadataOf(member), {}};
  TRY(Remember(2 * sizeof(Later) + later.path.capacity() + later.target.capacity()));
  list.push_back(std::move(later));
  return {};
}

}  // namespace msb::image
