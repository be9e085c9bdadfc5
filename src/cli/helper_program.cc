#include "src/cli/helper_program.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/paths.h"
#include "src/base/retry.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"

namespace msb::cli {
namespace {

constexpr size_t kMaxOutput = 1 << 20;

std::vector<char*> ArgvOf(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  return argv;
}

base::Result<std::string> PathOf(const std::string& program) {
  return TRY(base::LibexecDirectory()) + "/" + program;
}

}  // namespace

int Become(const std::string& program, const std::vector<std::string>& arguments) {
  const auto path = PathOf(program);
  if (!path) return Complain(path.error().message(), kFailure);
  ::execv(path->c_str(), ArgvOf(program, arguments).data());
  return Complain(fmt::format("cannot start {}: {}", *path, base::ErrnoText(errno)), kFailure);
}

base::Result<std::string> OutputOf(const std::string& program,
                                   const std::vector<std::string>& arguments) {
  const std::string path = TRY(PathOf(program));
  base::Pair pipe = TRY(base::MakePipe());
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe.second.get(), STDOUT_FILENO);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, path.c_str(), &actions, nullptr,
                                  ArgvOf(program, arguments).data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return base::Fail(base::ErrorCode::kSystem, "cannot start {}: {}", path,
                      base::ErrnoText(error));
  }
  pipe.second.Reset();
  auto output = base::ReadToEnd(pipe.first.get(), kMaxOutput);
  int status = 0;
  (void)base::Retry([&] { return ::waitpid(child, &status, 0); });
  if (status != 0) return base::Fail(base::ErrorCode::kSystem, "{} has failed", path);
  return output;
}

}  // namespace msb::cli
