#include "src/server/file_info.h"

#include <charconv>

#include "src/base/bytes.h"
#include "src/server/text.h"
#include "src/server/time_text.h"

namespace msb::server {
namespace {

constexpr uint32_t kAllModeBits = 07777;
constexpr int64_t kNanosInMilli = 1'000'000;

std::string_view NameOf(agent::FileKind kind) {
  switch (kind) {
    case agent::FileKind::kRegular:
      return "file";
    case agent::FileKind::kDirectory:
      return "directory";
    case agent::FileKind::kSymlink:
      return "symlink";
    case agent::FileKind::kFifo:
      return "fifo";
    case agent::FileKind::kSocket:
      return "socket";
    case agent::FileKind::kCharacter:
      return "character";
    case agent::FileKind::kBlock:
      return "block";
  }
  return "file";
}

}  // namespace

api::FileInfo FileInfoOf(const std::string& path, const agent::FileStatus& status,
                         const std::optional<std::string>& target) {
  api::FileInfo info;
  info.path = ToUtf8(path);
  info.name = info.path.substr(info.path.find_last_of('/') + 1);
  info.type = NameOf(status.kind);
  info.mode = fmt::format("{:o}", status.mode & kAllModeBits);
  info.size = status.size;
  info.uid = status.uid;
  info.gid = status.gid;
  info.modified = TimeText(status.modified_ns / kNanosInMilli);
  if (target) info.target = ToUtf8(*target);
  return info;
}

base::Result<uint32_t> ParseMode(std::string_view member, const std::optional<std::string>& text,
                                 uint32_t absent) {
  if (!text) return absent;
  constexpr int kOctal = 8;
  uint32_t mode = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, mode, kOctal);
  if (!text->empty() && error == std::errc() && stop == end && mode <= kAllModeBits) return mode;
  return base::Fail(base::ErrorCode::kInvalid, "{}: {} is not a mode in octal, such as 644", member,
                    base::EscapeForTerminal(std::string_view(*text).substr(0, 32)));
}

}  // namespace msb::server
