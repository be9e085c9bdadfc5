// The commands: one file each. All return the exit code; what went wrong has been printed.
#pragma once

#include <string>

#include "src/cli/command_line.h"

namespace msb::cli {

int RunExe(const ExeOptions& options);
int RunExec(const ExecOptions& options);
int RunAttach(const AttachOptions& options);
int RunCopy(const CopyOptions& options);
int RunPs(const PsOptions& options);
int RunLogs(const LogsOptions& options);
int RunStop(const StopOptions& options);
int RunRemove(const RemoveOptions& options);
int RunResume(const ResumeOptions& options);
int RunImage(const ImageOptions& options);
int RunServer(const ServerOptions& options);
int RunCompletion(const CompletionOptions& options);
int RunDoctor(const DoctorOptions& options);
int RunVersion();

// Prints "msb: error: <message>" on standard error, returns `code`.
int Complain(const std::string& message, int code);

}  // namespace msb::cli
