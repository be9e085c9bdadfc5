#include "src/image/disk_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <sstream>

#include "src/base/bytes.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/base/sys.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::UniqueFd;

constexpr size_t kMaxRecord = 64 * 1024;
constexpr size_t kMaxDirectories = 1 << 20;

base::Result<UniqueFd> OpenDirectory(int parent_fd, const std::string& name) {
  return base::OpenFileAt(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

void AddPin(int directory_fd, const std::string& sandbox, std::vector<DiskPin>& pins) {
  auto record = ReadDiskRecord(directory_fd);
  if (record) {
    pins.push_back({sandbox, *std::move(record)});
  } else if (record.error().code() != ErrorCode::kNotFound) {
    LOG(kWarning, "sandbox {}: {}: it keeps no image from being removed", sandbox,
        record.error().message());
  }
}

base::Status AddPinsIn(const std::string& directory, std::vector<DiskPin>& pins) {
  // An administrator may have moved it to another disk, and left a link.
  const auto all = base::OpenFile(directory, O_RDONLY | O_DIRECTORY);
  if (!all && all.error().sys_errno() == ENOENT) return {};
  if (!all) return all.error();
  for (const std::string& name_space : TRY(base::ListDirectory(all->get()))) {
    const auto spaces = OpenDirectory(all->get(), name_space);
    if (!spaces) continue;  // no directory, or it has just gone
    for (const std::string& name : TRY(base::ListDirectory(spaces->get()))) {
      const auto sandbox = OpenDirectory(spaces->get(), name);
      if (sandbox) AddPin(sandbox->get(), fmt::format("{}/{}", name_space, name), pins);
    }
  }
  return {};
}

// As they were added; a line that is not whole, of a kill, counts for nothing.
base::Result<std::vector<std::string>> OtherDirectories(const std::string& home) {
  std::vector<std::string> directories;
  const auto file = base::OpenFile(home + "/" + kDiskDirectoriesFile, O_RDONLY | O_NOFOLLOW);
  if (!file && file.error().code() == ErrorCode::kNotFound) return directories;
  if (!file) return file.error();
  std::istringstream lines(TRY(base::ReadToEnd(file->get(), kMaxDirectories)));
  for (std::string line; std::getline(lines, line);) {
    const auto path = base::json::Parse<base::Bytes>(line);
    if (path) directories.push_back(path->data);
  }
  return directories;
}

}  // namespace

base::Result<DiskRecord> ReadDiskRecord(int directory_fd) {
  const std::string text = TRY(base::ReadFileAt(directory_fd, kDiskRecordFile, kMaxRecord));
  auto record = base::json::Parse<DiskRecord>(text);
  if (record && record->format == DiskRecord().format) return record;
  return base::Fail(ErrorCode::kCorrupt, "{} is damaged, or of a newer version", kDiskRecordFile);
}

base::Status WriteDiskRecord(int directory_fd, const DiskRecord& record) {
  return base::ReplaceFileAt(directory_fd, kDiskRecordFile, base::json::Write(record), 0600,
                             /*durable=*/true);
}

base::Status AddDiskDirectory(const std::string& home, const std::string& directory) {
  const std::string path = TRY(base::RealPath(directory));
  const auto usual = base::RealPath(home + "/" + kNamespacesDirectory);
  if (usual && path == *usual) return {};
  const UniqueFd home_fd = TRY(base::OpenHome(home, base::HomeMode::kCreate));
  const UniqueFd file =
      TRY(base::OpenBeneath(home_fd.get(), kDiskDirectoriesFile, O_RDWR | O_CREAT | O_APPEND, 0600,
                            base::kResolveNoSymlinks));
  TRY(base::WaitLock(file.get(), base::LockMode::kExclusive));
  const std::string line = base::json::Write(base::Bytes(path)) + "\n";
  const std::string before = TRY(base::ReadToEnd(file.get(), kMaxDirectories));
  if (("\n" + before).find("\n" + line) != std::string::npos) return {};
  const bool cut_off = !before.empty() && !before.ends_with('\n');
  TRY(base::WriteFull(file.get(), (cut_off ? "\n" : "") + line));
  if (::fsync(file.get()) < 0) return base::FailErrno("cannot flush {}", kDiskDirectoriesFile);
  return {};
}

base::Result<std::vector<DiskPin>> FindDiskPins(const std::string& home) {
  std::vector<DiskPin> pins;
  TRY(AddPinsIn(home + "/" + kNamespacesDirectory, pins));
  for (const std::string& directory : TRY(OtherDirectories(home))) {
    if (::access(directory.c_str(), F_OK) != 0) {
      LOG(kWarning, "{} is not there: disks in it keep no image from being removed",
          base::EscapeForTerminal(directory));
    }
    TRY(AddPinsIn(directory, pins));
  }
  return pins;
}

std::set<std::string> PinnedManifests(const std::vector<DiskPin>& pins) {
  std::set<std::string> digests;
  for (const DiskPin& pin : pins) digests.insert(pin.record.manifest_digest);
  return digests;
}

}  // namespace msb::image
