#include "src/agent/guest/foreign_mounts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr size_t kMaxMountinfo = 1 << 20;

constexpr auto kOwn = std::to_array<std::string_view>(
    {"bpf", "cgroup", "cgroup2", "debugfs", "devpts", "devtmpfs", "erofs", "ext4", "fusectl",
     "mqueue", "overlay", "proc", "ramfs", "rootfs", "sysfs", "tmpfs"});

// As in all files of mounts: blanks and the like are three octal digits.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size();
    if (!escaped) {
      plain += text[i];
      continue;
    }
    plain +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
    i += 3;
  }
  return plain;
}

// Number, parent, device, root, mount point, some fields, then " - " and the type.
std::optional<std::string> ForeignMountPoint(std::string_view line) {
  const size_t separator = line.find(" - ");
  if (separator == std::string_view::npos) return std::nullopt;
  const std::string_view rest = line.substr(separator + 3);
  if (std::ranges::find(kOwn, rest.substr(0, rest.find(' '))) != kOwn.end()) return std::nullopt;
  for (int field = 0; field < 4; ++field) {
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos) return std::nullopt;
    line.remove_prefix(blank + 1);
  }
  return Unescape(line.substr(0, line.find(' ')));
}

// Without what makes two names of one place: doubled slashes, ".", and ".." where it follows a
// name.
std::string Normalized(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (name == ".." && !names.empty()) names.pop_back();
    if (!name.empty() && name != "." && name != "..") names.push_back(name);
  }
  std::string plain;
  for (const std::string_view name : names) plain.append("/").append(name);
  return plain.empty() ? "/" : plain;
}

bool IsBelow(std::string_view path, std::string_view mount) {
  return mount == "/" ||
         (path.starts_with(mount) && (path.size() == mount.size() || path[mount.size()] == '/'));
}

base::Result<std::string> ReadFromStart(int fd) {
  if (::lseek(fd, 0, SEEK_SET) < 0) return base::FailErrno("cannot read the mounts");
  return base::ReadToEnd(fd, kMaxMountinfo);
}

}  // namespace

std::vector<std::string> FindForeignMounts(std::string_view mountinfo) {
  std::vector<std::string> found;
  while (!mountinfo.empty()) {
    const std::string_view line = mountinfo.substr(0, mountinfo.find('\n'));
    if (auto mount = ForeignMountPoint(line)) found.push_back(*std::move(mount));
    mountinfo.remove_prefix(std::min(mountinfo.size(), line.size() + 1));
  }
  return found;
}

void ForeignMounts::Follow(base::EventLoop& loop, const std::string& path) {
  followed_ = true;
  auto mountinfo = base::OpenFile(path, O_RDONLY);
  if (!mountinfo) return;
  mountinfo_ = *std::move(mountinfo);
  auto watch =
      loop.Add(mountinfo_.get(), EPOLLPRI | EPOLLET, [this](uint32_t) { changed_ = true; });
  if (watch) watch_ = *std::move(watch);
}

const std::vector<std::string>& ForeignMounts::Current() {
  if (!followed_ || !std::exchange(changed_, !watch_.active())) return mounts_;
  const auto mountinfo = ReadFromStart(mountinfo_.get());
  // More than can be read: nobody has so many for good reasons.
  mounts_ = mountinfo ? FindForeignMounts(*mountinfo) : std::vector<std::string>{"/"};
  return mounts_;
}

std::string ForeignMounts::MountOf(std::string_view path) {
  std::string longest;
  if (Current().empty()) return longest;
  const std::string plain = Normalized(path);
  for (const std::string& mount : mounts_) {
    if (IsBelow(plain, mount) && mount.size() > longest.size()) longest = mount;
  }
  return longest;
}

}  // namespace msb::agent
