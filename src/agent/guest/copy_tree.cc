#include "src/agent/guest/copy_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/sys.h"
#include "src/base/unique_fd.h"

namespace msb::agent {
namespace {

class Copier {
 public:
  explicit Copier(int target_root) : target_root_(target_root) {}
  base::Status Directory(int source, int target, const std::string& path, unsigned depth);
  uint64_t copied() const { return copied_; }

 private:
  base::Status Entry(int source, int target, const std::string& name, const std::string& path,
                     unsigned depth);
  base::Status File(int source, int target, const std::string& name, const struct stat& status);
  base::Status Symlink(int source, int target, const std::string& name);
  base::Result<bool> LinkAgain(int target, const std::string& name, const struct stat& status,
                               const std::string& path);

  const int target_root_;
  uint64_t copied_ = 0;
  // Files with several names: where the first of them went.
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;
};

// The others mean something to the kernel, such as a program's capabilities.
bool IsOfUsers(std::string_view name) {
  return !name.starts_with("security.") && !name.starts_with("trusted.");
}

base::Status CopyAttributes(int source, int target, Attributes which) {
  const ssize_t length = ::flistxattr(source, nullptr, 0);
  if (length <= 0) return {};  // none, or a file system that has none
  std::vector<char> names(static_cast<size_t>(length));
  const ssize_t got = ::flistxattr(source, names.data(), names.size());
  if (got < 0) return base::FailErrno("cannot list extended attributes");
  std::vector<char> value(65536);  // XATTR_SIZE_MAX
  for (const char* name = names.data(); name < names.data() + got;
       name += std::char_traits<char>::length(name) + 1) {
    if (which == Attributes::kOfUsers && !IsOfUsers(name)) continue;
    const ssize_t size = ::fgetxattr(source, name, value.data(), value.size());
    if (size < 0) continue;  // not for us to read: an overlay's own
    if (::fsetxattr(target, name, value.data(), static_cast<size_t>(size), 0) < 0 &&
        errno != EOPNOTSUPP) {
      return base::FailErrno("cannot set the attribute {}", name);
    }
  }
  return {};
}

base::Status Copier::Directory(int source, int target, const std::string& path, unsigned depth) {
  if (depth > kMaxTreeDepth) {
    return base::Fail(base::ErrorCode::kLimit, "directories nest deeper than {}", kMaxTreeDepth);
  }
  for (const std::string& name : TRY(base::ListDirectory(source))) {
    const std::string entry_path = path.empty() ? name : path + "/" + name;
    TRY(Entry(source, target, name, entry_path, depth).WithContext(entry_path));
  }
  return CopyMetadata(source, target, TRY(base::Stat(source)), Attributes::kAll);
}

base::Status Copier::Entry(int source, int target, const std::string& name, const std::string& path,
                           unsigned depth) {
  struct stat status;
  if (::fstatat(source, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("cannot stat");
  }
  ++copied_;
  if (S_ISDIR(status.st_mode)) {
    if (::mkdirat(target, name.c_str(), 0700) < 0) return base::FailErrno("cannot create");
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    const base::UniqueFd from = TRY(base::OpenFileAt(source, name, kFlags));
    const base::UniqueFd to = TRY(base::OpenFileAt(target, name, kFlags));
    return Directory(from.get(), to.get(), path, depth + 1);
  }
  if (status.st_nlink > 1 && TRY(LinkAgain(target, name, status, path))) return {};
  if (S_ISREG(status.st_mode)) return File(source, target, name, status);
  if (S_ISLNK(status.st_mode)) {
    TRY(Symlink(source, target, name));
  } else {
    if (::mknodat(target, name.c_str(), status.st_mode, status.st_rdev) < 0) {
      return base::FailErrno("cannot create");
    }
    if (::fchmodat(target, name.c_str(), status.st_mode & 07777, 0) < 0) {
      return base::FailErrno("cannot chmod");
    }
  }
  if (::fchownat(target, name.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("cannot chown");
  }
  const std::array<timespec, 2> times = {status.st_atim, status.st_mtim};
  if (::utimensat(target, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) < 0) {
    return base::FailErrno("cannot set times");
  }
  return {};
}

base::Result<bool> Copier::LinkAgain(int target, const std::string& name, const struct stat& status,
                                     const std::string& path) {
  const auto [first, is_new] = linked_.emplace(std::pair(status.st_dev, status.st_ino), path);
  if (is_new) return false;
  if (::linkat(target_root_, first->second.c_str(), target, name.c_str(), 0) < 0) {
    return base::FailErrno("cannot link");
  }
  return true;
}

base::Status Copier::File(int source, int target, const std::string& name,
                          const struct stat& status) {
  const base::UniqueFd from = TRY(base::OpenFileAt(source, name, O_RDONLY | O_NOFOLLOW));
  const base::UniqueFd to =
      TRY(base::OpenFileAt(target, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(base::CloneFile(from.get(), to.get()));
  return CopyMetadata(from.get(), to.get(), status, Attributes::kAll);
}

base::Status Copier::Symlink(int source, int target, const std::string& name) {
  std::array<char, 4097> link;
  const ssize_t length = ::readlinkat(source, name.c_str(), link.data(), link.size() - 1);
  if (length < 0) return base::FailErrno("cannot read a link");
  link[static_cast<size_t>(length)] = '\0';
  if (::symlinkat(link.data(), target, name.c_str()) < 0) return base::FailErrno("cannot create");
  return {};
}

}  // namespace

// In an order in which nothing undoes what was before: a change of owner clears set-user-ID and
// capabilities, and a mode may take from its owner the right to set attributes.
base::Status CopyMetadata(int source, int target, const struct stat& status, Attributes which) {
  if (::fchown(target, status.st_uid, status.st_gid) < 0) return base::FailErrno("cannot chown");
  TRY(CopyAttributes(source, target, which));
  if (::fchmod(target, status.st_mode & 07777) < 0) return base::FailErrno("cannot chmod");
  const std::array<timespec, 2> times = {status.st_atim, status.st_mtim};
  if (::futimens(target, times.data()) < 0) return base::FailErrno("cannot set times");
  return {};
}

base::Result<uint64_t> CopyTree(int source_dir, int target_dir) {
  Copier copier(target_dir);
  TRY(copier.Directory(source_dir, target_dir, "", 0));
  return copier.copied();
}

}  // namespace msb::agent
