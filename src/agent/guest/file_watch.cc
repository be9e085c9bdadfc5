#include "src/agent/guest/file_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "src/agent/guest/file_access.h"
#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

using base::ErrorCode;
using base::UniqueFd;

constexpr uint32_t kMask = IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM |
                           IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
constexpr size_t kReadBytes = 16 * 1024;
constexpr size_t kChangesAtOnce = 256;
constexpr size_t kEventBytes = kMaxReply / 2;  // of names, escaped
// Entries of directories that are looked at in a row: the agent has others to serve.
constexpr size_t kMaxEntriesAtOnce = 100'000;
constexpr size_t kMaxFoundAtOnce = 10'000;

struct CloseStream {
  void operator()(DIR* stream) const { ::closedir(stream); }
};

bool IsDirectory(int directory_fd, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat status;
  return ::fstatat(directory_fd, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(status.st_mode);
}

std::string Below(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : fmt::format("{}/{}", directory, name);
}

bool IsBelow(std::string_view name, std::string_view directory) {
  return name.starts_with(directory) &&
         (name.size() == directory.size() || name[directory.size()] == '/');
}

void Append(FrameQueue& queue, const std::vector<FileChange>& changes) {
  Event event;
  size_t bytes = 0;
  for (const FileChange& change : changes) {
    // Escaped, a byte takes up to six.
    const size_t size = 6 * change.name.data.size() + 100;
    if (event.changes && (event.changes->size() == kChangesAtOnce || bytes + size > kEventBytes)) {
      queue.Append(FrameType::kEvent, 0, base::json::Write(event));
      event.changes.reset();
      bytes = 0;
    }
    if (!event.changes) event.changes.emplace();
    event.changes->push_back(change);
    bytes += size;
  }
  if (event.changes) queue.Append(FrameType::kEvent, 0, base::json::Write(event));
}

std::optional<ChangeKind> KindOf(uint32_t mask) {
  if ((mask & IN_CREATE) != 0) return ChangeKind::kCreated;
  if ((mask & IN_MODIFY) != 0) return ChangeKind::kWritten;
  if ((mask & IN_ATTRIB) != 0) return ChangeKind::kAttributes;
  if ((mask & IN_DELETE) != 0) return ChangeKind::kRemoved;
  if ((mask & IN_MOVED_FROM) != 0) return ChangeKind::kRenamedFrom;
  if ((mask & IN_MOVED_TO) != 0) return ChangeKind::kRenamedTo;
  return std::nullopt;
}

}  // namespace

Outcome<FileWatch::Begun> FileWatch::Begin(const WatchFiles& request, const Identity& identity) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  std::unique_ptr<FileWatch> watch(new FileWatch(request, identity));
  Begun begun;
  const auto begin = [&]() -> base::Status {
    const ActingAs user(identity);
    UniqueFd top = TRY(base::OpenFile(request.path.data, kOpenDirectory));
    const struct stat status = TRY(base::Stat(top.get()));
    begun.status = StatusOf(status);
    watch->device_ = status.st_dev;
    watch->top_inode_ = status.st_ino;
    watch->inotify_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch->inotify_) return base::FailErrno("cannot watch {}", request.path.data);
    return watch->Add(std::move(top), "", nullptr);
  };
  if (const base::Status begins = begin(); !begins) {
    if (begins.error().code() == ErrorCode::kLimit) {
      return Refuse(FailureCode::kLimit, begins.error());
    }
    return std::unexpected(FileFailure(begins.error()));
  }
  begun.watch = std::move(watch);
  return begun;
}

base::Status FileWatch::Add(UniqueFd directory, const std::string& name,
                            std::vector<FileChange>* found) {
  const auto depth = static_cast<uint32_t>(std::ranges::count(name, '/'));
  if (names_.size() >= kMaxWatchedDirectories || name_bytes_ + name.size() > kMaxWatchedNames ||
      depth >= kMaxListDepth) {
    return base::Fail(ErrorCode::kLimit, "more than {} directories, or {} levels, are below it",
                      kMaxWatchedDirectories, kMaxListDepth);
  }
  // A file system of its own may hang, or have no end.
  if (TRY(base::Stat(directory.get())).st_dev != device_) return {};
  const std::string path = fmt::format("/proc/self/fd/{}", directory.get());
  const int number = ::inotify_add_watch(inotify_.get(), path.c_str(), kMask);
  if (number < 0 && errno == ENOSPC) {
    return base::Fail(ErrorCode::kLimit, "the guest watches as many directories as it can");
  }
  if (number < 0) return base::FailErrno("cannot watch {}", name);
  Erase(number);  // it had another name
  names_.emplace(number, name);
  name_bytes_ += name.size();
  return recursive_ ? AddBelow(std::move(directory), name, found) : base::Status();
}

base::Status FileWatch::AddBelow(UniqueFd directory, const std::string& name,
                                 std::vector<FileChange>* found) {
  const std::unique_ptr<DIR, CloseStream> stream(::fdopendir(directory.get()));
  if (!stream) return base::FailErrno("cannot list {}", name);
  const int directory_fd = directory.Release();  // the stream owns it now
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string file = entry->d_name;
    const std::string below = Below(name, file);
    if (file == "." || file == ".." || below.size() > kMaxPath) continue;
    if (++looked_at_ > kMaxEntriesAtOnce || (found != nullptr && found->size() > kMaxFoundAtOnce)) {
      return base::Fail(ErrorCode::kLimit, "more than {} files are below it", kMaxEntriesAtOnce);
    }
    const bool is_directory = IsDirectory(directory_fd, *entry);
    if (found != nullptr) found->push_back({ChangeKind::kCreated, below, is_directory, 0});
    if (!is_directory) continue;
    auto opened = base::OpenFileAt(directory_fd, file, kOpenDirectory | O_NOFOLLOW);
    if (!opened) continue;
    const base::Status added = Add(*std::move(opened), below, found);
    // One that cannot be entered, or is gone again, is not watched.
    if (!added && added.error().code() == ErrorCode::kLimit) return added;
  }
  return {};
}

// Not kept open: a directory that is open is told of its end only when it is closed.
base::Result<UniqueFd> FileWatch::OpenTop() const {
  UniqueFd top = TRY(base::OpenFile(path_, kOpenDirectory));
  const struct stat status = TRY(base::Stat(top.get()));
  if (status.st_dev == device_ && status.st_ino == top_inode_) return top;
  return base::Fail(ErrorCode::kLimit, "{} is another directory by now", path_);
}

base::Status FileWatch::AddNew(const std::string& name, std::vector<FileChange>& changes) {
  const auto top = OpenTop();
  if (!top) return base::Fail(ErrorCode::kLimit, "{}", top.error().message());
  UniqueFd directory =
      TRY(base::OpenBeneath(top->get(), name, kOpenDirectory, 0, base::kResolveNoSymlinks));
  return Add(std::move(directory), name, &changes);
}

// What has come since it began.
void FileWatch::AddLater(const std::string& name, std::vector<FileChange>& changes) {
  const base::Status added = AddNew(name, changes);
  if (!added && added.error().code() == ErrorCode::kLimit) Overflow(changes);
}

void FileWatch::Overflow(std::vector<FileChange>& changes) {
  changes.push_back({ChangeKind::kOverflow, {}, false, 0});
}

void FileWatch::Erase(int number) {
  const auto found = names_.find(number);
  if (found == names_.end()) return;
  name_bytes_ -= found->second.size();
  names_.erase(found);
}

void FileWatch::Forget(const std::string& name) {
  std::vector<int> numbers;
  for (const auto& [number, watched] : names_) {
    if (IsBelow(watched, name)) numbers.push_back(number);
  }
  for (const int number : numbers) {
    (void)::inotify_rm_watch(inotify_.get(), number);
    Erase(number);
  }
}

void FileWatch::Take(const inotify_event& event, std::string_view file,
                     std::vector<FileChange>& changes) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) return Overflow(changes);
  const auto watched = names_.find(event.wd);
  if (watched == names_.end()) return;  // of one that was forgotten
  const std::string directory = watched->second;
  if ((event.mask & IN_DELETE_SELF) != 0 && directory.empty()) gone_ = true;
  if ((event.mask & IN_IGNORED) != 0) return Erase(event.wd);
  const auto kind = KindOf(event.mask);
  // What happens to a directory below is told by its parent.
  if (!kind || (file.empty() && !directory.empty())) return;
  const std::string name = file.empty() ? "" : Below(directory, file);
  if (name.size() > kMaxPath) return;
  const bool is_directory = (event.mask & IN_ISDIR) != 0;
  changes.push_back({*kind, name, is_directory, event.cookie});
  if (!recursive_ || !is_directory) return;
  if (*kind == ChangeKind::kRenamedFrom) Forget(name);
  if (*kind == ChangeKind::kCreated) AddLater(name, changes);
  if (*kind == ChangeKind::kRenamedTo) AddLater(name, changes);
}

FileWatch::Filled FileWatch::Fill(FrameQueue& queue) {
  alignas(inotify_event) std::array<char, kReadBytes> buffer;
  const ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
  std::vector<FileChange> changes;
  looked_at_ = 0;
  {
    const ActingAs user(identity_);
    for (size_t at = 0; got > 0 && at < static_cast<size_t>(got);) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += sizeof *event + event->len;
      Take(*event, event->len == 0 ? std::string_view() : std::string_view(event->name), changes);
    }
  }
  Append(queue, changes);
  if (!gone_) return got > 0 ? Filled::kMore : Filled::kQuiet;
  Event event;
  event.broken = Failure{FailureCode::kNotFound, "the watched directory is gone"};
  queue.Append(FrameType::kEvent, 0, base::json::Write(event));
  return Filled::kOver;
}

}  // namespace msb::agent
