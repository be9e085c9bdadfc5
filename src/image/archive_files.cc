#include "src/image/archive_files.h"

#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/image/layer_index.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

// Of an archive's index, which the trusted side reads: some 100,000 files.
constexpr size_t kMaxArchiveIndex = 16 << 20;
constexpr int kMaxLinks = 40;

// Puts the components of a path onto a stack, the first on top.
void PushComponents(std::string_view path, std::vector<std::string>& stack) {
  const size_t bottom = stack.size();
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, end - at);
    if (!component.empty() && component != ".") stack.emplace_back(component);
    at = end + 1;
  }
  std::reverse(stack.begin() + static_cast<ptrdiff_t>(bottom), stack.end());
}

}  // namespace

void ArchiveFiles::AddFile(const std::string& path, Part part) {
  Remove(path);
  files_[path] = part;
}

void ArchiveFiles::AddHardLink(const std::string& path, const std::string& target) {
  const auto file = files_.find(target);
  const auto link = links_.find(target);
  if (file != files_.end()) {
    AddFile(path, file->second);
  } else if (link != links_.end()) {
    const auto target_of_both = link->second;
    Remove(path);
    links_[path] = target_of_both;
  }
}

void ArchiveFiles::AddSymlink(const std::string& path, const std::string& target) {
  Remove(path);
  links_[path] = std::make_shared<const std::string>(target);
}

void ArchiveFiles::Remove(const std::string& path) {
  files_.erase(path);
  links_.erase(path);
}

base::Result<ArchiveFiles::Part> ArchiveFiles::Find(std::string_view path) const {
  const std::string shown = base::EscapeForTerminal(path);
  std::vector<std::string> pending;
  PushComponents(path, pending);
  std::string at;  // resolved so far
  int links = 0;
  while (!pending.empty()) {
    const std::string component = std::move(pending.back());
    pending.pop_back();
    if (component == "..") {
      if (at.empty()) return Fail(ErrorCode::kCorrupt, "{} leads out of the archive", shown);
      at.resize(at.rfind('/') == std::string::npos ? 0 : at.rfind('/'));
      continue;
    }
    const std::string next = at.empty() ? component : at + "/" + component;
    const auto link = links_.find(next);
    if (link == links_.end()) {
      at = next;
      continue;
    }
    if (link->second->starts_with('/')) {
      return Fail(ErrorCode::kCorrupt, "{} leads out of the archive", shown);
    }
    if (++links > kMaxLinks) {
      return Fail(ErrorCode::kCorrupt, "{} leads through too many symbolic links", shown);
    }
    PushComponents(*link->second, pending);
  }
  const auto file = files_.find(at);
  if (file == files_.end()) return Fail(ErrorCode::kNotFound, "the archive has no {}", shown);
  return file->second;
}

base::Result<ArchiveFiles> ReadArchiveFiles(int index_fd) {
  const base::UniqueFd fd =
      TRY(base::OpenFile(fmt::format("/proc/self/fd/{}", index_fd), O_RDONLY));
  const std::string bytes =
      TRY(base::ReadToEnd(fd.get(), kMaxArchiveIndex).WithContext("the archive's list of files"));
  IndexReader reader = TRY(IndexReader::Open(bytes));
  ArchiveFiles files;
  while (const auto entry = TRY(reader.Next())) {
    const std::string path(entry->path);
    if (entry->kind == EntryKind::kFile && entry->chunk_bits == 0) {
      files.AddFile(path, {entry->blob_offset, entry->size});
    } else if (entry->kind == EntryKind::kHardLink) {
      files.AddHardLink(path, std::string(entry->target));
    } else if (entry->kind == EntryKind::kSymlink) {
      files.AddSymlink(path, std::string(entry->target));
    } else {
      files.Remove(path);
    }
  }
  return files;
}

}  // namespace msb::image
