#include "src/agent/guest/program_path.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace msb::agent {
namespace {

enum class Found { kNothing, kNotExecutable, kProgram };

Found Look(const std::string& path, int cwd_fd) {
  struct stat status;
  if (::fstatat(cwd_fd, path.c_str(), &status, 0) < 0) {
    return errno == EACCES ? Found::kNotExecutable : Found::kNothing;
  }
  const bool executable = S_ISREG(status.st_mode) && (status.st_mode & 0111) != 0;
  return executable ? Found::kProgram : Found::kNotExecutable;
}

base::Error NotExecutable(std::string_view program) {
  return base::Fail(base::ErrorCode::kDenied, "{}: not an executable file", program);
}

}  // namespace

base::Result<std::string> FindProgram(std::string_view program, std::string_view path, int cwd_fd) {
  if (program.empty()) return base::Fail(base::ErrorCode::kNotFound, "the program has no name");
  if (program.find('/') != std::string_view::npos) {
    std::string given(program);
    switch (Look(given, cwd_fd)) {
      case Found::kProgram:
        return given;
      case Found::kNotExecutable:
        return NotExecutable(program);
      case Found::kNothing:
        return base::Fail(base::ErrorCode::kNotFound, "{}: no such file", program);
    }
  }
  bool denied = false;
  for (;;) {
    const size_t colon = path.find(':');
    const std::string_view directory = path.substr(0, colon);
    // An empty entry is the working directory.
    std::string candidate(directory.empty() ? std::string_view(".") : directory);
    candidate.append("/").append(program);
    const Found found = Look(candidate, cwd_fd);
    if (found == Found::kProgram) return candidate;
    denied = denied || found == Found::kNotExecutable;
    if (colon == std::string_view::npos) break;
    path.remove_prefix(colon + 1);
  }
  if (denied) return NotExecutable(program);
  return base::Fail(base::ErrorCode::kNotFound, "{}: not found in PATH", program);
}

}  // namespace msb::agent
