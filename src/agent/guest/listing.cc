#include "src/agent/guest/listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/agent/guest/file_access.h"
#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr size_t kEntriesAtOnce = 256;
constexpr size_t kEventBytes = kMaxReply / 2;  // of names, escaped, with their status

struct CloseStream {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using Stream = std::unique_ptr<DIR, CloseStream>;

base::Result<Stream> OpenStream(int dir_fd, const std::string& name, int flags) {
  base::UniqueFd fd =
      TRY(base::OpenFileAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK | flags));
  Stream stream(::fdopendir(fd.get()));
  if (!stream) return base::FailErrno("{}", name);
  (void)fd.Release();  // the stream owns it now
  return stream;
}

class Listing : public Transfer {
 public:
  Listing(Stream top, uint32_t depth, Identity identity, uint32_t seq)
      : depth_(depth), identity_(std::move(identity)), seq_(seq) {
    levels_.push_back({std::move(top), ""});
  }

  bool Fill(FrameQueue& queue) override {
    const ActingAs user(identity_);
    Event event;
    event.entries.emplace();
    bytes_ = 0;
    while (event.entries->size() < kEntriesAtOnce && bytes_ < kEventBytes && !levels_.empty()) {
      if (!Step(*event.entries, queue)) levels_.pop_back();
    }
    if (!event.entries->empty()) Append(queue, event);
    if (!levels_.empty()) return true;
    Reply reply;
    reply.seq = seq_;
    reply.failure = failure_;
    queue.Append(FrameType::kReply, 0, base::json::Write(reply));
    return false;
  }

 private:
  struct Level {
    Stream stream;
    std::string prefix;
  };

  // The next entry of the innermost directory; false at its end.
  bool Step(std::vector<DirectoryEntry>& entries, FrameQueue& queue) {
    DIR* stream = levels_.back().stream.get();
    errno = 0;
    const dirent* found = ::readdir(stream);
    if (found == nullptr) {
      if (errno != 0) failure_ = FileFailure(base::FailErrno("cannot list"));
      return false;
    }
    const std::string name = found->d_name;
    std::string path = levels_.back().prefix + name;
    struct stat status;
    if (name == "." || name == ".." || path.size() > kMaxPath ||
        ::fstatat(::dirfd(stream), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
      return true;
    }
    DirectoryEntry& entry = entries.emplace_back();
    entry.name = path;
    entry.status = StatusOf(status);
    if (S_ISLNK(status.st_mode)) entry.target = TargetOf(::dirfd(stream), name);
    // Escaped, a byte takes up to six.
    bytes_ += 6 * (path.size() + entry.target.data.size()) + 200;
    if (S_ISDIR(status.st_mode) && levels_.size() < depth_) Descend(name, path, queue);
    return true;
  }

  void Descend(const std::string& name, const std::string& path, FrameQueue& queue) {
    auto below = OpenStream(::dirfd(levels_.back().stream.get()), name, O_NOFOLLOW);
    if (below) {
      levels_.push_back({*std::move(below), path + "/"});
      return;
    }
    Event event;
    event.skipped = Skipped{.path = path, .failure = FileFailure(below.error())};
    if (++skipped_ <= kMaxSkippedReported) Append(queue, event);
  }

  static std::string TargetOf(int dir_fd, const std::string& name) {
    std::string target(PATH_MAX, '\0');
    const ssize_t length = ::readlinkat(dir_fd, name.c_str(), target.data(), target.size());
    target.resize(length < 0 ? 0 : static_cast<size_t>(length));
    return target;
  }

  static void Append(FrameQueue& queue, const Event& event) {
    queue.Append(FrameType::kEvent, 0, base::json::Write(event));
  }

  const uint32_t depth_;
  const Identity identity_;
  const uint32_t seq_;
  std::vector<Level> levels_;
  std::optional<Failure> failure_;
  size_t bytes_ = 0;  // of the entries in the event that is being filled
  size_t skipped_ = 0;
};

}  // namespace

Outcome<std::unique_ptr<Transfer>> OpenListing(const ListDirectory& request,
                                               const Identity& identity, uint32_t seq) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  if (request.depth == 0 || request.depth > kMaxListDepth) {
    return Refuse(FailureCode::kLimit, "a depth of {}: 1 to {} are possible", request.depth,
                  kMaxListDepth);
  }
  const ActingAs user(identity);
  auto top = OpenStream(AT_FDCWD, request.path.data, 0);
  if (!top) return std::unexpected(FileFailure(top.error()));
  return std::make_unique<Listing>(*std::move(top), request.depth, identity, seq);
}

}  // namespace msb::agent
