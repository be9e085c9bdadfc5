// Removing: a tree is emptied from its leaves, one open directory a level.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/agent/guest/file_access.h"
#include "src/agent/guest/file_changes.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr size_t kMaxDepth = 512;  // an open directory each

class Removal {
 public:
  explicit Removal(const Remove& request) : request_(request) {}
  ~Removal() {
    for (const Level& level : levels_) ::closedir(level.stream);
  }

  Outcome<void> Run(const std::function<void()>& busy) {
    while (!done_ && !failure_) {
      Step();
      busy();
    }
    if (failure_) return std::unexpected(*failure_);
    return {};
  }

 private:
  struct Level {
    DIR* stream;
    std::string name;  // in the directory above
  };

  int Above() const {  // the directory that has the innermost level's name
    return levels_.size() < 2 ? AT_FDCWD : ::dirfd(levels_[levels_.size() - 2].stream);
  }

  void Step() {
    if (levels_.empty()) return RemoveEntry(AT_FDCWD, request_.path.data);
    errno = 0;
    const dirent* found = ::readdir(levels_.back().stream);
    if (found == nullptr && errno != 0) return Fail(base::FailErrno("cannot list"));
    if (found == nullptr) return RemoveEmptied();
    const std::string name = found->d_name;
    if (name != "." && name != "..") RemoveEntry(::dirfd(levels_.back().stream), name);
  }

  void RemoveEntry(int dir_fd, const std::string& name) {
    if (::unlinkat(dir_fd, name.c_str(), 0) == 0 || (errno == ENOENT && !levels_.empty())) {
      done_ = levels_.empty();
      return;
    }
    if (errno != EISDIR) return Fail(base::FailErrno("{}", name));
    if (request_.recursive) return Descend(dir_fd, name);
    done_ = ::unlinkat(dir_fd, name.c_str(), AT_REMOVEDIR) == 0;
    if (!done_) Fail(base::FailErrno("{}", name));
  }

  void Descend(int dir_fd, const std::string& name) {
    if (levels_.size() >= kMaxDepth) {
      return Fail(base::Fail(base::ErrorCode::kLimit, "more than {} directories deep", kMaxDepth));
    }
    auto fd = base::OpenFileAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!fd) return Fail(std::move(fd).error());
    DIR* stream = ::fdopendir(fd->get());
    if (stream == nullptr) return Fail(base::FailErrno("{}", name));
    (void)fd->Release();  // the stream owns it now
    levels_.push_back({stream, name});
  }

  void RemoveEmptied() {
    const int removed = ::unlinkat(Above(), levels_.back().name.c_str(), AT_REMOVEDIR);
    if (removed < 0 && errno != ENOENT) return Fail(base::FailErrno("{}", levels_.back().name));
    ::closedir(levels_.back().stream);
    levels_.pop_back();
    done_ = levels_.empty();
  }

  void Fail(base::Error error) {
    failure_ = FileFailure(levels_.empty() ? std::move(error)
                                           : std::move(error).WithContext(request_.path.data));
  }

  const Remove& request_;
  std::vector<Level> levels_;
  bool done_ = false;
  std::optional<Failure> failure_;
};

}  // namespace

Outcome<void> RemoveAs(const Remove& request, const Identity& identity,
                       const std::function<void()>& busy) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  if (request.path.data.find_first_not_of('/') == std::string::npos) {
    return Refuse(FailureCode::kInvalid, "/: the root is not removed");
  }
  const ActingAs user(identity);
  return Removal(request).Run(busy);
}

}  // namespace msb::agent
