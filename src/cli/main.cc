// msb: the front. Parses, decides, and starts what does the work.
#include <cstdio>

#include "src/base/log.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"

namespace msb::cli {

int Complain(const std::string& message, int code) {
  (void)base::WriteFull(2, "msb: error: " + message + "\n");
  return code;
}

int RunVersion() {
  std::puts("msb " MSB_VERSION);
  return 0;
}

namespace {

int Main(int argc, char** argv) {
  const auto parsed = ParseCommandLine(argc, argv);
  if (const auto* leave = std::get_if<Leave>(&parsed)) {
    (void)base::WriteFull(leave->code == 0 ? 1 : 2, leave->text);
    return leave->code;
  }
  const CommandLine& line = std::get<CommandLine>(parsed);
  base::ConfigureLog({.level = line.log_level, .program = "msb"});
  if (const auto* exe = std::get_if<ExeOptions>(&line.command)) return RunExe(*exe);
  if (const auto* image = std::get_if<ImageOptions>(&line.command)) return RunImage(*image);
  if (const auto* doctor = std::get_if<DoctorOptions>(&line.command)) return RunDoctor(*doctor);
  return RunVersion();
}

}  // namespace
}  // namespace msb::cli

int main(int argc, char** argv) { return msb::cli::Main(argc, argv); }
