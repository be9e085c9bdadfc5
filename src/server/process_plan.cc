#include "src/server/process_plan.h"

#include "src/base/bytes.h"
#include "src/sandbox/environment.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

base::Status CheckNoNul(std::string_view member, std::string_view text) {
  if (text.find('\0') == std::string_view::npos) return {};
  return Fail(ErrorCode::kInvalid, "{}: U+0000 cannot be in it", member);
}

}  // namespace

std::vector<base::Bytes> ArgvOf(const std::string& command, const std::vector<std::string>& args) {
  std::vector<base::Bytes> argv = {command};
  argv.insert(argv.end(), args.begin(), args.end());
  return argv;
}

base::Status CheckPath(std::string_view member, std::string_view path) {
  TRY(CheckNoNul(member, path));
  if (path.starts_with('/') && path.size() <= agent::kMaxPath) return {};
  return Fail(ErrorCode::kInvalid, "{}: {} is not an absolute path of at most {} bytes", member,
              base::EscapeForTerminal(path.substr(0, 128)), agent::kMaxPath);
}

base::Result<agent::Exec> PlanProcess(const Instance& instance, ProcessWishes wishes) {
  agent::Exec exec = instance.NewProcess();
  exec.argv = std::move(wishes.argv);
  for (const base::Bytes& argument : exec.argv) TRY(CheckNoNul("command or args", argument.data));
  if (!exec.argv.empty() && exec.argv[0].empty()) {
    return Fail(ErrorCode::kInvalid, "command: it is empty");
  }
  std::vector<base::Bytes> envs;
  for (const std::string& env : wishes.envs) {
    TRY(CheckNoNul("envs", env));
    envs.push_back(TRY(sandbox::ParseEnv(env).WithContext("envs")));
  }
  exec.env = sandbox::MergeEnv(exec.env, envs);
  if (wishes.workdir) {
    TRY(CheckPath("workdir", *wishes.workdir));
    exec.cwd = *wishes.workdir;
    exec.create_cwd = false;
  }
  if (wishes.user) {
    TRY(CheckNoNul("user", *wishes.user));
    exec.user = *wishes.user;
  }
  return exec;
}

}  // namespace msb::server
