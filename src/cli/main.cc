// msb: the front. Parses, decides, and starts what does the work.
#include <signal.h>

#include <cstdio>

#include "src/base/bytes.h"
#include "src/base/log.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"

namespace msb::cli {

int Complain(const std::string& message, int code) {
  (void)base::WriteFull(2, "msb: error: " + base::EscapeLinesForTerminal(message) + "\n");
  return code;
}

int RunVersion() {
  std::puts("msb " MSB_VERSION);
  return 0;
}

namespace {

int Run(const VersionOptions&) { return RunVersion(); }
int Run(const ExeOptions& options) { return RunExe(options); }
int Run(const ExecOptions& options) { return RunExec(options); }
int Run(const AttachOptions& options) { return RunAttach(options); }
int Run(const CopyOptions& options) { return RunCopy(options); }
int Run(const PsOptions& options) { return RunPs(options); }
int Run(const LogsOptions& options) { return RunLogs(options); }
int Run(const StopOptions& options) { return RunStop(options); }
int Run(const RemoveOptions& options) { return RunRemove(options); }
int Run(const ResumeOptions& options) { return RunResume(options); }
int Run(const ImageOptions& options) { return RunImage(options); }
int Run(const ServerOptions& options) { return RunServer(options); }
int Run(const CompletionOptions& options) { return RunCompletion(options); }
int Run(const DoctorOptions& options) { return RunDoctor(options); }

int Main(int argc, char** argv) {
  ::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit is an error of a write, not our death
  const auto parsed = ParseCommandLine(argc, argv);
  if (const auto* leave = std::get_if<Leave>(&parsed)) {
    (void)base::WriteFull(leave->code == 0 ? 1 : 2, leave->text);
    return leave->code;
  }
  const CommandLine& line = std::get<CommandLine>(parsed);
  base::RaiseOpenFileLimit();  // a command may name many sandboxes
  base::ConfigureLog({.level = line.log_level, .program = "msb"});
  return std::visit([](const auto& options) { return Run(options); }, line.command);
}

}  // namespace
}  // namespace msb::cli

int main(int argc, char** argv) { return msb::cli::Main(argc, argv); }
