#include "src/agent/guest/plain_directories.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include "src/agent/guest/copy_tree.h"
#include "src/agent/guest/mount.h"
#include "src/base/sys.h"
#include "src/base/unique_fd.h"

namespace msb::agent {
namespace {

struct Engine {
  const char* store;
  std::array<const char*, 2> daemons;
};
constexpr std::array<Engine, 2> kEngines = {
    {{"/var/lib/docker", {"/usr/bin/dockerd", "/usr/local/bin/dockerd"}},
     {"/var/lib/containerd", {"/usr/bin/containerd", "/usr/local/bin/containerd"}}}};

bool Exists(const char* path) { return ::access(path, F_OK) == 0; }

// Sorted: a directory comes before those below it.
base::Result<std::set<std::string>> Wanted(const std::vector<base::Bytes>& volumes) {
  std::set<std::string> paths = {"/tmp"};
  for (const Engine& engine : kEngines) {
    const bool used = Exists(engine.store) || std::ranges::any_of(engine.daemons, Exists);
    if (used) paths.insert(engine.store);
  }
  for (const base::Bytes& volume : volumes) {
    std::string path = TRY(CleanPath(volume.data));
    if (!IsSpecial(path)) paths.insert(std::move(path));
  }
  return paths;
}

base::Status Seed(int plain_fd, const std::string& name, const std::string& path, bool durable) {
  const std::string unfinished = name + ".new";
  TRY(base::RemoveTreeAt(plain_fd, unfinished));
  if (::mkdirat(plain_fd, unfinished.c_str(), 0755) < 0) {
    return base::FailErrno("cannot create a directory on the disk");
  }
  const base::UniqueFd source = TRY(base::OpenFile(path, O_RDONLY | O_DIRECTORY));
  const base::UniqueFd target =
      TRY(base::OpenFileAt(plain_fd, unfinished, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const uint64_t copied = TRY(CopyTree(source.get(), target.get()));
  if (path == "/tmp" && ::fchmod(target.get(), 01777) < 0) return base::FailErrno("cannot chmod");
  // The name must not reach the disk before the content.
  if (durable && copied > 0 && ::syncfs(target.get()) < 0) return base::FailErrno("cannot flush");
  if (::renameat(plain_fd, unfinished.c_str(), plain_fd, name.c_str()) < 0) {
    return base::FailErrno("cannot rename");
  }
  return {};
}

// True if the path leads, by a link or below another volume, to a file system that is not the
// root's: there is no overlay to keep out, and what is there may be endless (/proc).
base::Result<bool> IsElsewhere(const std::string& path) {
  struct stat place;
  struct stat root;
  if (::stat(path.c_str(), &place) < 0 || ::stat("/", &root) < 0) {
    return base::FailErrno("cannot stat");
  }
  return place.st_dev != root.st_dev;
}

base::Status Bind(int plain_fd, const std::string& path, bool durable) {
  TRY(EnsureDirectory(path));
  if (TRY(IsElsewhere(path))) return {};
  const std::string name = PlainName(path);
  auto mount = CloneMount(plain_fd, name);
  if (!mount) {
    if (mount.error().code() != base::ErrorCode::kNotFound) return std::move(mount).error();
    TRY(Seed(plain_fd, name, path, durable));
    mount = CloneMount(plain_fd, name);
    if (!mount) return std::move(mount).error();
  }
  return PutMount(mount->get(), path);
}

}  // namespace

std::string PlainName(std::string_view path) {
  std::string name;
  for (const char c : path) {
    if (c == '/') {
      name += "%2F";
    } else if (c == '%') {
      name += "%25";
    } else {
      name += c;
    }
  }
  return name;
}

base::Result<std::string> CleanPath(std::string_view path) {
  const auto invalid = [&path] {
    return base::Fail(base::ErrorCode::kInvalid, "volume {}: not a path below the root", path);
  };
  if (!path.starts_with('/') || path.find('\0') != std::string_view::npos) return invalid();
  std::string clean;
  for (std::string_view rest = path; !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view part = rest.substr(0, rest.find('/'));
    rest.remove_prefix(part.size());
    if (part == "." || part == "..") return invalid();
    if (!part.empty()) clean.append("/").append(part);
  }
  if (clean.empty()) return invalid();
  if (PlainName(clean).size() > 250) {
    return base::Fail(base::ErrorCode::kLimit, "volume {}: the path is too long", path);
  }
  return clean;
}

bool IsSpecial(std::string_view clean_path) {
  for (const std::string_view top : {"/proc", "/sys", "/dev", "/run"}) {
    if (clean_path == top) return true;
    if (clean_path.starts_with(top) && clean_path[top.size()] == '/') return true;
  }
  return false;
}

base::Status BindPlainDirectories(int disk_fd, const std::vector<base::Bytes>& volumes,
                                  bool durable) {
  const base::UniqueFd plain = TRY(base::OpenFileAt(disk_fd, "plain", O_RDONLY | O_DIRECTORY));
  for (const std::string& path : TRY(Wanted(volumes))) {
    TRY(Bind(plain.get(), path, durable).WithContext(path));
  }
  return {};
}

}  // namespace msb::agent
