#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/cli/findings.h"

namespace msb::cli {
namespace {

constexpr const char* kElsewhere = "set MSB_HOME to a directory of yours that you may write to";

Finding Unusable(const std::string& text, const std::string& fix = kElsewhere) {
  return {"home", Verdict::kMissing, text, fix};
}

// Disks of temporary sandboxes are files without a name, which some file systems do not have.
Finding NoUnnamedFiles(const std::string& home, const base::Error& error) {
  return Unusable(
      fmt::format("{}: no temporary files can be made there: {}", home, error.message()),
      "set MSB_HOME to a directory on a local file system (ext4, xfs, btrfs, tmpfs)");
}

// A home that is not there yet: whether the directory above it lets us make it.
Finding CheckParent(const std::string& home) {
  std::string parent = home;
  struct stat status = {};
  do {
    parent.resize(parent.rfind('/'));
    if (parent.empty()) parent = "/";
  } while (::stat(parent.c_str(), &status) < 0 && parent != "/");
  if (!S_ISDIR(status.st_mode)) {
    return Unusable(fmt::format("{} cannot be made: {} is no directory", home, parent));
  }
  if (::access(parent.c_str(), W_OK | X_OK) < 0) {
    return Unusable(
        fmt::format("{} cannot be made in {}: {}", home, parent, base::ErrnoText(errno)));
  }
  if (const auto unnamed = base::OpenUnnamed(parent); !unnamed) {
    return NoUnnamedFiles(home, unnamed.error());
  }
  return {"home", Verdict::kOk, home + " (not made yet)", ""};
}

Finding CheckSpace(const std::string& home, int fd) {
  struct statvfs space = {};
  if (::fstatvfs(fd, &space) < 0) return {"home", Verdict::kOk, home, ""};
  const uint64_t free_mib = uint64_t{space.f_bavail} * space.f_frsize >> 20;
  const bool tight = free_mib < 1024;
  return {"home", tight ? Verdict::kNote : Verdict::kOk,
          fmt::format("{}, {} MiB free", home, free_mib),
          tight ? "make room: a sandbox is paused when the disk is full" : ""};
}

}  // namespace

Finding CheckHome() {
  const auto home = base::ResolveHome();
  if (!home) return Unusable(home.error().message());
  struct stat status = {};
  if (::lstat(home->c_str(), &status) < 0 && errno == ENOENT) return CheckParent(*home);
  const auto opened = base::OpenHome(*home, base::HomeMode::kMustExist);
  if (!opened) return Unusable(opened.error().message());
  if (::access(home->c_str(), W_OK | X_OK) < 0) {
    const std::string why = base::ErrnoText(errno);
    return Unusable(fmt::format("{} cannot be written to: {}", *home, why),
                    fmt::format("chmod u+rwx {}, or {}", *home, kElsewhere));
  }
  if (const auto unnamed = base::OpenUnnamed(*home); !unnamed) {
    return NoUnnamedFiles(*home, unnamed.error());
  }
  return CheckSpace(*home, opened->get());
}

}  // namespace msb::cli
