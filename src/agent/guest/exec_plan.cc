#include "src/agent/guest/exec_plan.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <unordered_map>
#include <utility>

#include "src/agent/guest/accounts.h"
#include "src/agent/guest/program_path.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

Outcome<void> CheckExec(const Exec& exec) {
  const bool id_ok = exec.id.size() == kProcessIdDigits &&
                     exec.id.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!id_ok) return Refuse(FailureCode::kInvalid, "exec.id: not {} digits", kProcessIdDigits);
  if (exec.argv.empty()) return Refuse(FailureCode::kInvalid, "exec.argv: no program");
  if (exec.argv.size() > kMaxArguments || exec.env.size() > kMaxArguments) {
    return Refuse(FailureCode::kLimit, "more than {} arguments or variables", kMaxArguments);
  }
  if (exec.extra_streams > kMaxExtraStreams) {
    return Refuse(FailureCode::kLimit, "exec.extra_streams: at most {}", kMaxExtraStreams);
  }
  for (const base::Bytes& argument : exec.argv) {
    if (HasNul(argument.data)) return Refuse(FailureCode::kInvalid, "exec.argv: a NUL byte");
  }
  for (const base::Bytes& variable : exec.env) {
    const size_t equals = variable.data.find('=');
    if (equals == 0 || equals == std::string::npos || HasNul(variable.data)) {
      return Refuse(FailureCode::kInvalid, "exec.env: {} is not NAME=VALUE",
                    base::EscapeForTerminal(variable.data));
    }
  }
  return {};
}

// The variables by name, the last of a name winning, in the order they first came.
class Environment {
 public:
  explicit Environment(const std::vector<base::Bytes>& variables) {
    for (const base::Bytes& variable : variables) {
      const size_t equals = variable.data.find('=');
      Set(std::string_view(variable.data).substr(0, equals),
          std::string_view(variable.data).substr(equals + 1));
    }
  }
  void Set(std::string_view name, std::string_view value) {
    const auto [found, is_new] = index_.emplace(name, list_.size());
    if (is_new) list_.emplace_back();
    list_[found->second] = fmt::format("{}={}", name, value);
  }
  void Default(std::string_view name, std::string_view value) {
    if (!index_.contains(std::string(name))) Set(name, value);
  }
  std::string_view Get(std::string_view name) const {
    return std::string_view(list_[index_.at(std::string(name))]).substr(name.size() + 1);
  }
  std::vector<std::string> Take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
  std::unordered_map<std::string, size_t> index_;
};

std::string PathOfWorkdir(const Exec& exec) {
  return exec.cwd.data.empty() ? std::string("/") : exec.cwd.data;
}

Outcome<base::UniqueFd> OpenWorkdir(const Exec& exec) {
  const std::string path = PathOfWorkdir(exec);
  if (path[0] != '/' || HasNul(path)) {
    return Refuse(FailureCode::kBadWorkdir, "working directory {}: not an absolute path", path);
  }
  if (exec.create_cwd) {
    if (base::Status made = base::MakeDirectories(path, 0755); !made) {
      return Refuse(FailureCode::kBadWorkdir, made.error());
    }
  }
  auto opened = base::OpenFile(path, O_PATH | O_DIRECTORY);
  if (!opened) {
    return Refuse(FailureCode::kBadWorkdir, "working directory {}: {}", path,
                  base::ErrnoText(opened.error().sys_errno()));
  }
  return *std::move(opened);
}

}  // namespace

Outcome<ExecLookup> LookUpExec(const Exec& exec, const Surroundings& surroundings) {
  const auto planned = PlanExec(exec, surroundings, nullptr);
  if (!planned) return std::unexpected(planned.error());
  if (exec.pty) (void)base::OpenFile("/dev/ptmx", O_PATH);
  // What it may not do is for the start to say.
  (void)::faccessat(planned->cwd.get(), ".", X_OK, 0);
  if (const auto program =
          base::OpenFileAt(planned->cwd.get(), planned->spawn.program, O_RDONLY | O_NONBLOCK)) {
    std::array<std::byte, 4096> beginning;
    (void)base::Read(program->get(), beginning);
  }
  const Identity& identity = planned->spawn.identity;
  return ExecLookup{.program = planned->spawn.program,
                    .uid = identity.uid,
                    .gid = identity.gid,
                    .groups = identity.groups,
                    .home = identity.home};
}

Outcome<ExecPlan> PlanExec(const Exec& exec, const Surroundings& surroundings,
                           const ExecLookup* lookup) {
  if (auto checked = CheckExec(exec); !checked) return std::unexpected(checked.error());
  ExecPlan planned;
  SpawnPlan& plan = planned.spawn;
  if (lookup != nullptr) {
    plan.identity = {.uid = lookup->uid,
                     .gid = lookup->gid,
                     .groups = lookup->groups,
                     .home = lookup->home.data};
    plan.program = lookup->program.data;
    plan.cwd = PathOfWorkdir(exec);
  } else {
    auto identity =
        ResolveUserIn(exec.user.data, surroundings.passwd_path, surroundings.group_path);
    if (!identity) return Refuse(FailureCode::kNoSuchUser, identity.error());
    plan.identity = *std::move(identity);
    auto cwd = OpenWorkdir(exec);
    if (!cwd) return std::unexpected(cwd.error());
    planned.cwd = *std::move(cwd);
    plan.cwd_fd = planned.cwd.get();
  }

  Environment environment(exec.env);
  environment.Default("PATH", kDefaultPath);
  environment.Default("HOME", plan.identity.home);
  environment.Default("HOSTNAME", surroundings.hostname);
  if (exec.pty) environment.Default("TERM", "xterm");
  if (lookup == nullptr) {
    auto program = FindProgram(exec.argv[0].data, environment.Get("PATH"), plan.cwd_fd);
    if (!program) {
      return Refuse(program.error().code() == base::ErrorCode::kDenied
                        ? FailureCode::kNotExecutable
                        : FailureCode::kProgramMissing,
                    program.error());
    }
    plan.program = *std::move(program);
  }
  plan.env = environment.Take();
  for (const base::Bytes& argument : exec.argv) plan.argv.push_back(argument.data);
  plan.cgroup_fd = surroundings.cgroup_fd;
  plan.terminal = exec.pty.has_value();
  return planned;
}

}  // namespace msb::agent
