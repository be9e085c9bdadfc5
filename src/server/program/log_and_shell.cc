// msb server log, msb server ssh: what msb logs and msb exec do, with the sandbox's full name.
#include <fcntl.h>
#include <unistd.h>

#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/server/program/commands.h"
#include "src/server/program/own_sandboxes.h"
#include "src/server/program/server_log.h"

namespace msb::server {
namespace {

base::Error Become(std::vector<std::string> words) {
  const auto directory = base::LibexecDirectory();
  if (!directory) return directory.error();
  const std::string path = *directory + "/../../bin/msb";
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return base::FailErrno("cannot start {}", path);
}

base::Error BecomeFor(const char* program, const std::string& path,
                      std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(const_cast<char*>(path.c_str()));
  argv.push_back(nullptr);
  ::execvp(program, argv.data());
  return base::FailErrno("cannot start {}", program);
}

base::Status ShowServerLog(const LogOptions& options) {
  const std::string path = TRY(base::ResolveHome()) + "/" + kLogFile;
  if (::access(path.c_str(), R_OK) != 0) {
    return base::Fail(base::ErrorCode::kNotFound,
                      "there is no {}: only a server that was started with --detach has a log, "
                      "others write where they were started",
                      path);
  }
  std::vector<std::string> words = {
      "tail", "-n", options.tail ? fmt::format("{}", *options.tail) : std::string("+1")};
  if (options.follow) words.push_back("-F");  // beyond the next beginning of a new one
  return BecomeFor("tail", path, std::move(words));
}

}  // namespace

base::Status RunLog(const LogOptions& options) {
  if (options.sandbox.empty()) return ShowServerLog(options);
  const SandboxKey key = TRY(FindOwn(options.namespace_, options.sandbox));
  std::vector<std::string> words = {"msb", "logs", key.FullName()};
  if (options.follow) words.push_back("-f");
  if (options.tail) words.push_back(fmt::format("--tail={}", *options.tail));
  return Become(std::move(words));
}

base::Status RunShell(const ShellOptions& options) {
  const SandboxKey key = TRY(FindOwn(options.namespace_, options.sandbox));
  std::vector<std::string> words = {"msb", "exec", "-i"};
  if (::isatty(STDIN_FILENO) == 1) words.push_back("-t");
  words.push_back(key.FullName());
  words.insert(words.end(), {"--", "/bin/sh", "-c", "exec \"$(command -v bash || echo sh)\""});
  return Become(std::move(words));
}

}  // namespace msb::server
