#include "src/image/disk_record.h"

#include <fcntl.h>

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/sys.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::UniqueFd;

constexpr size_t kMaxRecord = 64 * 1024;

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

base::Result<std::vector<DiskPin>> FindDiskPins(const std::string& home) {
  std::vector<DiskPin> pins;
  const auto all = OpenDirectory(AT_FDCWD, home + "/" + kNamespacesDirectory);
  if (!all && all.error().code() == ErrorCode::kNotFound) return pins;
  if (!all) return all.error();
  for (const std::string& name_space : TRY(base::ListDirectory(all->get()))) {
    const auto directory = OpenDirectory(all->get(), name_space);
    if (!directory) continue;  // no directory, or it has just gone
    for (const std::string& name : TRY(base::ListDirectory(directory->get()))) {
      const auto sandbox = OpenDirectory(directory->get(), name);
      if (sandbox) AddPin(sandbox->get(), fmt::format("{}/{}", name_space, name), pins);
    }
  }
  return pins;
}

}  // namespace msb::image
