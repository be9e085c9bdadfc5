#include "src/agent/guest/given_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "src/agent/guest/file_access.h"
#include "src/agent/guest/mount.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr const char* kGivenDirectory = "/.sandbox";
constexpr unsigned long kNoSuid = 2;  // linux/mount.h cannot be included beside others
constexpr unsigned long kNoDev = 4;

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
  // Whatever a program has put there is replaced, not followed or opened.
  return base::ReplaceFileAt(directory.get(), name, file.content.data, file.mode & 07777,
                             /*durable=*/false);
}

}  // namespace

base::Status MakeGivenDirectory(const std::string& root) {
  const std::string path = root + kGivenDirectory;
  struct stat status;
  if (::lstat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    if (::unlink(path.c_str()) < 0) return base::FailErrno("cannot remove {}", path);
  }
  if (::mkdir(path.c_str(), 0755) < 0) return base::FailErrno("cannot create {}", path);
  return {};
}

base::Status MountGivenDirectory(const std::vector<GivenFile>& files) {
  constexpr size_t kPage = 4096;
  size_t bytes = 64 * kPage;  // for programs that write there, too
  for (const GivenFile& file : files) bytes += file.content.data.size() / kPage * kPage + 2 * kPage;
  return MountAt("tmpfs", kGivenDirectory, "tmpfs", kNoSuid | kNoDev,
                 fmt::format("mode=755,size={}", bytes));
}

base::Status WriteGivenFiles(const std::vector<GivenFile>& files) {
  for (const GivenFile& file : files) {
    TRY(WriteGivenFile(file).WithContext("cannot write " + file.path.data));
  }
  return {};
}

}  // namespace msb::agent
