#include "src/image/disk.h"

#include <fcntl.h>
#include <unistd.h>

#include "src/base/sys.h"
#include "src/image/disk_template.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr uint64_t kBlock = 4096;

std::string TemplateFor(const std::string& libexec, DiskKind kind, uint64_t bytes) {
  return fmt::format("{}/{}/{}{}.disk", libexec, kTemplatesDirectory,
                     kind == DiskKind::kTemporary ? "temporary" : "persistent",
                     bytes < kDefaultDiskBytes ? "-small" : "");
}

base::Status Fill(int disk_fd, const std::string& libexec, DiskKind kind, uint64_t bytes) {
  TRY(UnpackDisk(TemplateFor(libexec, kind, bytes), disk_fd)
          .WithContext("the installation is incomplete"));
  if (::ftruncate(disk_fd, static_cast<off_t>(bytes)) < 0) {
    return base::FailErrno("cannot set the disk's size to {} bytes", bytes);
  }
  return {};
}

}  // namespace

base::Status CheckDiskSize(uint64_t bytes) {
  if (bytes >= kMinDiskBytes && bytes <= kMaxDiskBytes && bytes % kBlock == 0) return {};
  return Fail(ErrorCode::kInvalid, "a disk of {} bytes: from {} MiB to {} TiB, in steps of 4 KiB",
              bytes, kMinDiskBytes >> 20, kMaxDiskBytes >> 40);
}

base::Result<base::UniqueFd> CreateUnnamedDisk(const std::string& libexec, DiskKind kind,
                                               uint64_t bytes, const std::string& directory) {
  TRY(CheckDiskSize(bytes));
  base::UniqueFd disk = TRY(base::OpenUnnamed(directory));
  TRY(Fill(disk.get(), libexec, kind, bytes).WithContext("cannot create a writable disk"));
  return disk;
}

base::Result<base::UniqueFd> CreateNamedDisk(const std::string& libexec, DiskKind kind,
                                             uint64_t bytes, int directory_fd,
                                             const std::string& name) {
  base::UniqueFd disk =
      TRY(CreateUnnamedDisk(libexec, kind, bytes, fmt::format("/proc/self/fd/{}", directory_fd)));
  if (::fdatasync(disk.get()) < 0) return base::FailErrno("cannot flush disk {}", name);
  TRY(base::LinkUnnamed(disk.get(), directory_fd, name));
  if (::fsync(directory_fd) < 0) return base::FailErrno("cannot flush the directory of {}", name);
  return disk;
}

}  // namespace msb::image
