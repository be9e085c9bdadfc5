#include "src/sandbox/persistent_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/image/disk.h"
#include "src/sandbox/disk_lock.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;
using image::kDiskFile;
using image::kDiskRecordFile;

constexpr const char* kDiskLockFile = "disk.lock";

struct LockedDirectory {
  std::string path;
  UniqueFd directory;
  UniqueFd lock;

  std::string disk_path() const { return path + "/" + kDiskFile; }
};

base::Result<LockedDirectory> Lock(const std::string& path) {
  LockedDirectory locked{path, {}, {}};
  locked.directory = TRY(base::OpenFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  locked.lock = TRY(
      base::OpenFileAt(locked.directory.get(), kDiskLockFile, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(base::WaitLock(locked.lock.get(), base::LockMode::kExclusive));
  return locked;
}

base::Result<UniqueFd> OpenDisk(const LockedDirectory& locked) {
  return base::OpenFileAt(locked.directory.get(), kDiskFile, O_RDWR | O_NOFOLLOW);
}

base::Result<PersistentDisk> Create(const LockedDirectory& locked,
                                    const image::RunnableImage& image, uint64_t bytes) {
  PersistentDisk disk;
  disk.path = locked.disk_path();
  disk.bytes = bytes;
  disk.record = {.image = image.name,
                 .image_uuid = image.uuid,
                 .manifest_digest = image.digest,
                 .bytes = bytes};
  TRY(image::CheckDiskSize(bytes));
  TRY(image::WriteDiskRecord(locked.directory.get(), disk.record));
  disk.file =
      TRY(image::CreateNamedDisk(TRY(base::LibexecDirectory()), image::DiskKind::kPersistent, bytes,
                                 locked.directory.get(), kDiskFile));
  return disk;
}

base::Status CheckImage(const image::DiskRecord& record, const image::RunnableImage& image,
                        const std::string& path) {
  if (record.image_uuid == image.uuid) return {};
  return Fail(ErrorCode::kInvalid,
              "the disk {} was made over image {} ({}) and cannot be used over {} ({}): start it "
              "with that image, or reset it, which loses what is on it",
              path, record.image, record.manifest_digest, image.name, image.digest);
}

base::Result<PersistentDisk> OpenLocked(const LockedDirectory& locked,
                                        const image::RunnableImage& image, uint64_t bytes) {
  PersistentDisk disk;
  auto file = OpenDisk(locked);
  if (!file && file.error().code() == ErrorCode::kNotFound) return Create(locked, image, bytes);
  disk.file = TRY(std::move(file));
  disk.path = locked.disk_path();
  auto record = image::ReadDiskRecord(locked.directory.get());
  if (!record) {
    return Fail(ErrorCode::kCorrupt,
                "the disk {} cannot be used, since nobody knows its image ({}): reset it, which "
                "loses what is on it",
                disk.path, record.error().message());
  }
  disk.record = *std::move(record);
  TRY(CheckImage(disk.record, image, disk.path));
  disk.bytes = static_cast<uint64_t>(TRY(base::Stat(disk.file.get())).st_size);
  return disk;
}

// The lock is held until the name is gone: whoever opened it before finds another file, or none,
// under its name once he has the lock (disk_lock.h).
base::Status RemoveLocked(const LockedDirectory& locked) {
  const auto file = OpenDisk(locked);
  if (!file && file.error().code() != ErrorCode::kNotFound) return file.error();
  if (file) TRY(LockDisk(file->get(), locked.disk_path()));
  for (const char* name : {kDiskFile, kDiskRecordFile}) {
    if (::unlinkat(locked.directory.get(), name, 0) < 0 && errno != ENOENT) {
      return base::FailErrno("cannot remove {}/{}", locked.path, name);
    }
    if (::fsync(locked.directory.get()) < 0) {
      return base::FailErrno("cannot flush the directory {}", locked.path);
    }
  }
  return {};
}

}  // namespace

base::Result<PersistentDisk> OpenPersistentDisk(const std::string& directory,
                                                const image::RunnableImage& image, uint64_t bytes) {
  TRY(base::MakeDirectories(directory, 0700));
  const LockedDirectory locked = TRY(Lock(directory));
  return OpenLocked(locked, image, bytes);
}

base::Status RemovePersistentDisk(const std::string& directory) {
  const auto locked = Lock(directory);
  if (!locked && locked.error().code() == ErrorCode::kNotFound) return {};
  if (!locked) return locked.error();
  return RemoveLocked(*locked);
}

base::Result<PersistentDisk> ResetPersistentDisk(const std::string& directory,
                                                 const image::RunnableImage& image,
                                                 uint64_t bytes) {
  TRY(base::MakeDirectories(directory, 0700));
  const LockedDirectory locked = TRY(Lock(directory));
  TRY(RemoveLocked(locked));
  return Create(locked, image, bytes);
}

}  // namespace msb::sandbox
