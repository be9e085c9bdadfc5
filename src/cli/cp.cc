// msb cp: files between this machine and a sandbox. docs/files.md.
#include <signal.h>
#include <unistd.h>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/copy.h"
#include "src/cli/exit_codes.h"

namespace msb::cli {
namespace {

image::Progress::Style StyleOf(const CopyOptions& options) {
  const auto style = image::Progress::Detect(options.quiet);
  return style == image::Progress::Style::kPlain ? image::Progress::Style::kQuiet : style;
}

base::Result<CopyResult> Copy(const CopyOptions& options, GuestFiles& files) {
  const bool out = !options.source.sandbox.empty();
  image::Progress progress(StyleOf(options));
  progress.Begin(base::EscapeForTerminal(options.source.path), 0);
  const int64_t begun = base::MonotonicNanos();
  CopyResult result =
      TRY(out ? CopyOut(options, files, progress) : CopyIn(options, files, progress));
  progress.End(fmt::format("{} in {:.1f} s", image::FormatBytes(result.bytes),
                           static_cast<double>(base::MonotonicNanos() - begun) / 1e9));
  if (result.devices > 0) {
    (void)base::WriteFull(STDERR_FILENO,
                          fmt::format("msb: left out: {} devices or FIFOs\n", result.devices));
  }
  return result;
}

// As any program that a signal ends: whoever waits for us sees which.
[[noreturn]] void EndBy(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);
}

}  // namespace

int RunCopy(const CopyOptions& options) {
  const bool out = !options.source.sandbox.empty();
  base::RaiseOpenFileLimit();
  auto files = GuestFiles::Connect(out ? options.source.sandbox : options.destination.sandbox);
  if (!files) return Complain(files.error().message(), kFailure);
  const base::Result<CopyResult> result = Copy(options, **files);
  const int signal = (*files)->interrupted_by();
  files->reset();
  if (!result && signal != 0) EndBy(signal);
  if (!result) return Complain(result.error().message(), kFailure);
  return result->unread > 0 ? kFailure : 0;
}

}  // namespace msb::cli
