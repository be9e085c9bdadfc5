#include "src/server/storage.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/image/disk_record.h"
#include "src/sandbox/names.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr const char* kConfigFile = "config.json";
constexpr const char* kRemoved = ".removed";
constexpr size_t kMaxConfig = 4 * 1024 * 1024;
constexpr int kVersion = 1;

base::Result<UniqueFd> OpenChild(int dir_fd, const std::string& name, bool create) {
  if (create && ::mkdirat(dir_fd, name.c_str(), 0700) < 0 && errno != EEXIST) {
    return base::FailErrno("cannot create the directory of {}", name);
  }
  return base::OpenFileAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

base::Result<Storage> Storage::OpenExisting(const std::string& directory) {
  UniqueFd root = TRY(base::OpenFile(directory, O_RDONLY | O_DIRECTORY));
  // As the disks' records have it, however it was written.
  return Storage(TRY(base::RealPath(directory)), std::move(root));
}

base::Result<Storage> Storage::Open(const std::string& directory) {
  TRY(base::MakeDirectories(directory, 0700));
  Storage storage = TRY(OpenExisting(directory));
  // Of a server that was killed while it removed.
  TRY(base::RemoveTreeAt(storage.root_.get(), kRemoved));
  if (::mkdirat(storage.root_.get(), kRemoved, 0700) < 0) {
    return base::FailErrno("cannot create {}/{}", directory, kRemoved);
  }
  return storage;
}

std::string Storage::PathOf(const SandboxKey& key) const {
  return fmt::format("{}/{}/{}", path_, key.namespace_, key.name);
}

std::string Storage::DiskPathOf(const SandboxKey& key) const {
  return fmt::format("{}/{}", PathOf(key), image::kDiskFile);
}

base::Result<UniqueFd> Storage::OpenDirectory(const SandboxKey& key, bool create) const {
  const UniqueFd parent = TRY(OpenChild(root_.get(), key.namespace_, create));
  return OpenChild(parent.get(), key.name, create);
}

bool Storage::Has(const SandboxKey& key) const {
  const auto directory = OpenDirectory(key, /*create=*/false);
  return directory && ::faccessat(directory->get(), kConfigFile, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool Storage::HasDirectory(const SandboxKey& key) const {
  return OpenDirectory(key, /*create=*/false).has_value();
}

base::Result<StoredSandbox> Storage::Load(const SandboxKey& key) const {
  const auto directory = OpenDirectory(key, /*create=*/false);
  const auto text = directory ? base::ReadFileAt(directory->get(), kConfigFile, kMaxConfig)
                              : base::Result<std::string>(directory.error());
  if (!text) {
    if (text.error().code() != ErrorCode::kNotFound) return text.error();
    return Fail(ErrorCode::kNotFound, "there is no sandbox {} in namespace {}", key.name,
                key.namespace_);
  }
  auto stored = base::json::Parse<StoredSandbox>(*text);
  if (!stored || stored->version != kVersion) {
    return Fail(ErrorCode::kCorrupt,
                "the stored configuration of sandbox {} is not usable: {}; start it with a "
                "configuration",
                key.FullName(), stored ? "it is another version's" : stored.error().message());
  }
  return stored;
}

base::Status Storage::Save(const SandboxKey& key, const StoredSandbox& sandbox) const {
  const UniqueFd directory = TRY(OpenDirectory(key, /*create=*/true));
  return base::ReplaceFileAt(directory.get(), kConfigFile, base::json::Write(sandbox), 0600,
                             /*durable=*/true);
}

base::Result<std::vector<SandboxKey>> Storage::List() const {
  std::vector<SandboxKey> keys;
  for (const std::string& name_space : TRY(base::ListDirectory(root_.get()))) {
    if (!sandbox::IsSandboxName(name_space)) continue;
    const auto directory = OpenChild(root_.get(), name_space, /*create=*/false);
    if (!directory) continue;
    for (const std::string& name : TRY(base::ListDirectory(directory->get()))) {
      const std::string config = name + "/" + kConfigFile;
      if (!sandbox::IsSandboxName(name)) continue;
      if (::faccessat(directory->get(), config.c_str(), F_OK, 0) == 0) {
        keys.push_back({name_space, name});
      }
    }
  }
  std::ranges::sort(keys);
  return keys;
}

base::Status Storage::Remove(const SandboxKey& key) const {
  const UniqueFd parent = TRY(OpenChild(root_.get(), key.namespace_, /*create=*/false));
  const std::string removed = base::RandomHex(16);
  const UniqueFd graves = TRY(OpenChild(root_.get(), kRemoved, /*create=*/true));
  // At once out of sight, then out of the way.
  if (::renameat(parent.get(), key.name.c_str(), graves.get(), removed.c_str()) < 0) {
    return base::FailErrno("cannot remove sandbox {}", key.FullName());
  }
  return base::RemoveTreeAt(graves.get(), removed);
}

}  // namespace msb::server
