// Out of a sandbox, beneath a destination: what comes is a hostile tar (image/tree_extract.h).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/copy.h"
#include "src/cli/exit_codes.h"
#include "src/cli/output.h"
#include "src/image/tar_stream.h"
#include "src/image/tree_extract.h"

namespace msb::cli {
namespace {

using base::ErrorCode;
using base::Fail;

// What a copy that nobody measures leaves on the disk.
constexpr uint64_t kKeepFreeBytes = 64 << 20;

// The directory that is written to, and the name there; no name: what is in the source goes in.
struct Target {
  std::string directory;
  std::string name;
  bool must_be_directory = false;  // the source
};

base::Result<Target> ChooseTarget(const CopyOptions& options) {
  const std::string& path = options.destination.path;
  struct stat status;
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) return base::FailErrno("{}", path);
  if (exists && S_ISDIR(status.st_mode)) {
    return Target{.directory = path, .name = BaseNameOf(options.source.path)};
  }
  if (exists && !S_ISREG(status.st_mode)) {
    return Fail(ErrorCode::kInvalid,
                "{}: is neither a file nor a directory (- writes a tar to standard output)", path);
  }
  const bool directory = EndsInSlash(path);
  if (directory && (exists || !options.recursive)) {
    return Fail(ErrorCode::kNotFound, "{}: no such directory", path);
  }
  Target target{.directory = ParentOf(path), .name = BaseNameOf(path)};
  if (target.name.empty()) return Fail(ErrorCode::kNotFound, "{}: no such directory", path);
  target.must_be_directory = directory;
  return target;
}

std::string Shown(const base::Bytes& foreign) {
  return base::EscapeForTerminal(foreign.data.substr(0, 1000));
}

agent::Pack Request(const CopyOptions& options, std::string name, bool recursive) {
  return {.path = options.source.path,
          .user = options.user,
          .name = std::move(name),
          .follow = !recursive || EndsInSlash(options.source.path),
          .recursive = recursive};
}

base::Result<std::unique_ptr<PackStream>> Open(const CopyOptions& options, GuestFiles& files,
                                               image::Progress& progress, CopyResult& result,
                                               const agent::Pack& request) {
  auto stream = TRY(PackStream::Open(files, request, [&](const agent::Skipped& skipped) {
    // The agent stops to name them; a hostile one need not.
    if (++result.unread > agent::kMaxSkippedReported + 1) return;
    progress.Clear();
    Complain(skipped.more > 0 ? fmt::format("{} others were not copied", skipped.more)
                              : fmt::format("{}:{}: not copied: {}", options.source.sandbox,
                                            Shown(skipped.path), Shown(skipped.failure.message)),
             kFailure);
  }));
  stream->on_progress = [&progress](uint64_t bytes) { progress.Update(bytes); };
  return stream;
}

// What cp(1) leaves of a mode. (Asking for the mask sets it; there is one thread.)
uint16_t ModeMask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return static_cast<uint16_t>(0777 & ~mask);
}

base::Status Extract(PackStream& source, const Target& target, const CopyOptions& options,
                     CopyResult& result) {
  const base::UniqueFd directory = TRY(base::OpenFile(target.directory, O_PATH | O_DIRECTORY));
  image::TarStream stream(source, std::numeric_limits<uint64_t>::max());
  image::TreeExtractor extractor(directory.get(), {.hostile = true,
                                                   .mode_mask = ModeMask(),
                                                   .keep_owners = false,
                                                   .only = target.name,
                                                   .single_file = !options.recursive,
                                                   .keep_free_bytes = kKeepFreeBytes});
  TRY(extractor.Run(stream));
  result.bytes = extractor.counts().bytes;
  result.devices = extractor.counts().skipped;
  return {};
}

base::Result<CopyResult> ToFiles(const CopyOptions& options, GuestFiles& files,
                                 image::Progress& progress) {
  CopyResult result;
  const Target target = TRY(ChooseTarget(options));
  if (target.name.empty() && !options.recursive) {
    return Fail(ErrorCode::kInvalid, "{}:{}: is a directory: use -r", options.source.sandbox,
                options.source.path);
  }
  const auto source =
      TRY(Open(options, files, progress, result, Request(options, target.name, options.recursive)));
  const bool directory = source->top().kind == agent::FileKind::kDirectory;
  if (target.must_be_directory && !directory) {
    return Fail(ErrorCode::kInvalid, "{}: no such directory", options.destination.path);
  }
  TRY(Extract(*source, target, options, result)
          .WithContext(fmt::format("copying from {}", options.source.sandbox)));
  return result;
}

// The tar as it is: whoever reads it must not trust it.
base::Result<CopyResult> ToStream(const CopyOptions& options, GuestFiles& files,
                                  image::Progress& progress) {
  if (::isatty(STDOUT_FILENO) == 1) {
    return Fail(ErrorCode::kInvalid, "a tar is not for a terminal: redirect it, or pipe it to tar");
  }
  CopyResult result;
  const std::string name = BaseNameOf(options.source.path);
  const auto source = TRY(
      Open(options, files, progress, result, Request(options, name.empty() ? "." : name, true)));
  int failed = 0;
  bool drained = true;
  Output output(
      files.loop(), STDOUT_FILENO, [&] { drained = true; }, [&](int error) { failed = error; });
  for (;;) {
    const std::string_view piece = TRY(source->Next());
    if (piece.empty()) return result;
    result.bytes += piece.size();
    drained = false;
    output.Write(piece);
    TRY(files.RunUntil([&] { return failed != 0 || drained || !output.full(); }));
    if (failed != 0) {
      return Fail(base::CodeOfErrno(failed), "cannot write to standard output: {}",
                  base::ErrnoText(failed));
    }
  }
}

}  // namespace

base::Result<CopyResult> CopyOut(const CopyOptions& options, GuestFiles& files,
                                 image::Progress& progress) {
  return options.destination.stream() ? ToStream(options, files, progress)
                                      : ToFiles(options, files, progress);
}

}  // namespace msb::cli
