#include "src/agent/guest/given_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>

#include "src/agent/guest/file_access.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

// What is there already needs no room on a disk that may be full.
bool IsThere(int directory_fd, const std::string& name, const GivenFile& file) {
  struct stat status;
  if (::fstatat(directory_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) return false;
  if (!S_ISREG(status.st_mode) || (status.st_mode & 07777) != file.mode) return false;
  const auto content = base::ReadFileAt(directory_fd, name, file.content.data.size());
  return content && *content == file.content.data;
}

base::Status WriteGivenFile(const GivenFile& file) {
  const std::string& path = file.path.data;
  const size_t slash = path.rfind('/');
  if (!CheckPath(file.path) || slash + 1 == path.size()) {
    return base::Fail(base::ErrorCode::kInvalid, "not an absolute path of a file");
  }
  const std::string parent = path.substr(0, slash);
  TRY(base::MakeDirectories(parent, 0755));
  const base::UniqueFd directory = TRY(base::OpenFile(parent + "/", O_RDONLY | O_DIRECTORY));
  const std::string name = path.substr(slash + 1);
  if (IsThere(directory.get(), name, file)) return {};
  // Whatever a program has put there is replaced, not followed or opened.
  return base::ReplaceFileAt(directory.get(), name, file.content.data, file.mode & 07777,
                             /*durable=*/false);
}

}  // namespace

base::Status WriteGivenFiles(const std::vector<GivenFile>& files) {
  for (const GivenFile& file : files) {
    TRY(WriteGivenFile(file).WithContext("cannot write " + file.path.data));
  }
  return {};
}

}  // namespace msb::agent
