#include "src/sandbox/further_program.h"

#include "src/agent/client/attachment.h"
#include "src/sandbox/environment.h"

namespace msb::sandbox {

ProgramDefaults DefaultsOf(const agent::Exec& program) {
  return {program.env, program.cwd, program.create_cwd, program.user};
}

agent::Exec ExecOf(const ProgramDefaults& defaults, const FurtherProgram& program) {
  agent::Exec exec;
  exec.id = agent::NewProcessId();
  exec.argv = program.argv;
  exec.env = MergeEnv(defaults.env, program.env);
  const bool elsewhere = !program.workdir.data.empty();
  exec.cwd = elsewhere ? program.workdir : defaults.cwd;
  exec.create_cwd = !elsewhere && defaults.create_cwd;
  exec.user = program.user.data.empty() ? defaults.user : program.user;
  return exec;
}

}  // namespace msb::sandbox
