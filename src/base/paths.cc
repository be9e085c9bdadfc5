#include "src/base/paths.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "src/base/sys.h"

namespace msb::base {
namespace {

constexpr std::string_view kLibexec = "/libexec/microsandbox";

std::string Variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

Result<std::string> Absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  char current[PATH_MAX];
  if (::getcwd(current, sizeof current) == nullptr) {
    return FailErrno("cannot find the working directory");
  }
  return std::string(current) + "/" + path;
}

}  // namespace

Result<std::string> ResolveHome() {
  for (const char* name : {"MSB_HOME", "MICROSANDBOX_HOME"}) {
    if (const std::string value = Variable(name); !value.empty()) return Absolute(value);
  }
  const std::string home = Variable("HOME");
  if (home.empty()) {
    return Fail(ErrorCode::kInvalid,
                "no home directory: set HOME, or MSB_HOME to a directory of yours");
  }
  return Absolute(home + "/.microsandbox");
}

Result<std::string> RealPath(const std::string& path) {
  char* const found = ::realpath(path.c_str(), nullptr);
  if (found == nullptr) return FailErrno("cannot find {}", path);
  const std::string real = found;
  ::free(found);
  return real;
}

Result<UniqueFd> OpenHome(const std::string& path, HomeMode mode) {
  if (mode == HomeMode::kCreate) TRY(MakeDirectories(path, 0700));
  UniqueFd directory = TRY(OpenFile(path, O_RDONLY | O_DIRECTORY));
  const struct stat status = TRY(Stat(directory.get()));
  if (status.st_uid != ::geteuid()) {
    return Fail(ErrorCode::kDenied,
                "{} belongs to user {}, you are user {}: set MSB_HOME to a directory of yours",
                path, status.st_uid, ::geteuid());
  }
  if ((status.st_mode & 022) != 0) {
    return Fail(ErrorCode::kDenied, "{} can be written by others: chmod go-w {}", path, path);
  }
  return directory;
}

std::string LibexecDirectoryOf(const std::string& executable) {
  const std::string directory = executable.substr(0, executable.rfind('/'));
  if (directory.ends_with(kLibexec)) return directory;
  const size_t parent = directory.rfind('/');
  if (parent == std::string::npos) return std::string(kLibexec);  // an executable in /
  return directory.substr(0, parent) + std::string(kLibexec);
}

Result<std::string> LibexecDirectory() {
  char executable[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", executable, sizeof executable);
  if (length < 0) return FailErrno("cannot find the running executable");
  if (length == sizeof executable) {
    return Fail(ErrorCode::kLimit, "the path of the running executable is too long");
  }
  return LibexecDirectoryOf(std::string(executable, static_cast<size_t>(length)));
}

}  // namespace msb::base
