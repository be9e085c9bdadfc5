// Into a sandbox: this machine's files, or a tar that comes on standard input.
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/copy.h"
#include "src/cli/exit_codes.h"
#include "src/image/tree_pack.h"

namespace msb::cli {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kPiece = 256 * 1024;

struct Target {
  std::string directory;
  std::string name;  // empty: what is in the source
};

base::Result<Target> ChooseTarget(const CopyOptions& options, GuestFiles& files,
                                  bool source_is_directory) {
  const std::string& path = options.destination.path;
  const auto shown = [&] {
    return fmt::format("{}:{}", options.destination.sandbox, base::EscapeForTerminal(path));
  };
  const std::optional<agent::FileStatus> there = TRY(files.Stat(path, options.user));
  if (there && there->kind == agent::FileKind::kDirectory) {
    return Target{.directory = path, .name = BaseNameOf(options.source.path)};
  }
  if (EndsInSlash(path) && (there || !source_is_directory)) {
    return Fail(ErrorCode::kNotFound, "{}: no such directory", shown());
  }
  if (there && source_is_directory) {
    return Fail(ErrorCode::kExists, "{}: is no directory, and {} is one", shown(),
                options.source.path);
  }
  const Target target{.directory = ParentOf(path), .name = BaseNameOf(path)};
  if (target.name.empty()) return Fail(ErrorCode::kNotFound, "{}: no such directory", shown());
  return target;
}

base::Result<std::unique_ptr<UnpackStream>> Open(const CopyOptions& options, GuestFiles& files,
                                                 image::Progress& progress,
                                                 const std::string& directory) {
  auto stream = TRY(UnpackStream::Open(files, {.path = directory, .user = options.user}));
  stream->on_progress = [&progress](uint64_t bytes) { progress.Update(bytes); };
  return stream;
}

base::Result<CopyResult> Finish(UnpackStream& stream, CopyResult result) {
  const agent::Unpacked unpacked = TRY(stream.Finish());
  result.bytes = unpacked.bytes;
  result.devices = unpacked.skipped;
  return result;
}

base::Result<CopyResult> FromFiles(const CopyOptions& options, GuestFiles& files,
                                   image::Progress& progress) {
  const std::string& path = options.source.path;
  const bool follow = !options.recursive || EndsInSlash(path);
  struct stat status;
  if ((follow ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status)) < 0) {
    return base::FailErrno("{}", path);
  }
  const bool directory = S_ISDIR(status.st_mode);
  if (directory && !options.recursive) {
    return Fail(ErrorCode::kInvalid, "{}: is a directory: use -r", path);
  }
  const Target target = TRY(ChooseTarget(options, files, directory));
  const auto stream = TRY(Open(options, files, progress, target.directory));
  CopyResult result;
  image::TreePacker packer(
      [&](std::string_view data) { return stream->Put(data); },
      [&](const std::string& inside, const base::Error& why) {
        ++result.unread;
        progress.Clear();
        Complain(fmt::format("{}: not copied: {}", base::EscapeForTerminal(inside), why.message()),
                 kFailure);
      });
  base::Status packed =
      packer.Pack(path, {.name = target.name, .follow = follow, .recursive = options.recursive});
  if (!packed && !packer.sink_failed()) return std::move(packed).error().WithContext(path);
  TRY(std::move(packed));
  return Finish(*stream, result);
}

base::Result<CopyResult> FromStream(const CopyOptions& options, GuestFiles& files,
                                    image::Progress& progress) {
  if (::isatty(STDIN_FILENO) == 1) {
    return Fail(ErrorCode::kInvalid, "standard input is a terminal, not a tar");
  }
  const auto stream = TRY(Open(options, files, progress, options.destination.path));
  std::vector<std::byte> buffer(kPiece);
  for (;;) {
    TRY(files.WaitReadable(STDIN_FILENO));
    const size_t got = TRY(base::Read(STDIN_FILENO, buffer));
    if (got == 0) return Finish(*stream, {});
    TRY(stream->Put({reinterpret_cast<const char*>(buffer.data()), got}));
  }
}

}  // namespace

base::Result<CopyResult> CopyIn(const CopyOptions& options, GuestFiles& files,
                                image::Progress& progress) {
  return options.source.stream() ? FromStream(options, files, progress)
                                 : FromFiles(options, files, progress);
}

}  // namespace msb::cli
