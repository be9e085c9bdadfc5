#include "src/image/tree.h"

#include <utility>

#include "src/base/bytes.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr uint32_t kMaxDepth = 2048;
constexpr int kMaxLinksFollowed = 40;  // as Linux

base::Error EntryError(ErrorCode code, std::string_view path, std::string_view what) {
  return Fail(code, "entry '{}': {}", base::EscapeForTerminal(path.substr(0, 200)), what);
}

std::string_view LastComponent(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view ParentPath(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

// Pushes the components so that the first is on top.
void PushComponents(std::string_view path, std::vector<std::string_view>& stack) {
  while (!path.empty()) {
    const size_t slash = path.rfind('/');
    const std::string_view last = LastComponent(path);
    if (!last.empty() && last != ".") stack.push_back(last);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  }
}

Entry ImplicitDirectory() {
  Entry entry;
  entry.kind = EntryKind::kDirectory;
  entry.mode = 0755;
  return entry;
}

}  // namespace

Tree::Tree() {
  nodes_.emplace_back();
  nodes_[kRoot].entry = ImplicitDirectory();
  nodes_[kRoot].directory = std::make_unique<Directory>();
}

base::Status Tree::Apply(std::string_view index, uint32_t number) {
  const auto apply = [&]() -> base::Status {
    Layer layer{number, {}};
    TRY(Prepare(index, layer));
    IndexReader reader = TRY(IndexReader::Open(index));
    while (auto entry = TRY(reader.Next())) {
      if (entry->kind == EntryKind::kWhiteout || entry->kind == EntryKind::kOpaque) continue;
      TRY(Place(*std::move(entry), layer));
    }
    return {};
  };
  return apply().WithContext(fmt::format("layer {}", number + 1));
}

base::Status Tree::Prepare(std::string_view index, Layer& layer) {
  std::vector<Entry> marks;
  IndexReader reader = TRY(IndexReader::Open(index));
  while (auto entry = TRY(reader.Next())) {
    if (entry->kind == EntryKind::kHardLink) {
      if (const auto found = TRY(Find(entry->target))) {
        layer.links_below.emplace(entry->target, *found);
      }
    } else if (entry->kind == EntryKind::kWhiteout || entry->kind == EntryKind::kOpaque) {
      marks.push_back(*std::move(entry));
    }
  }
  for (const Entry& mark : marks) TRY(Hide(mark));
  return {};
}

base::Status Tree::Hide(const Entry& mark) {
  if (mark.kind == EntryKind::kOpaque) {
    const auto directory = TRY(Walk(mark.path, false));
    if (directory) nodes_[*directory].directory->children.clear();
  } else if (const auto parent = TRY(Parent(mark.path, false))) {
    nodes_[*parent].directory->children.erase(LastComponent(mark.path));
  }
  cached_parent_.reset();
  return {};
}

base::Status Tree::Place(Entry entry, const Layer& layer) {
  if (entry.path.empty()) return PlaceRoot(std::move(entry));
  if (entry.kind == EntryKind::kCharDevice && entry.device_major == 0 && entry.device_minor == 0) {
    return EntryError(ErrorCode::kUnsupported, entry.path,
                      "a character device 0:0, which overlayfs takes for a deleted file");
  }
  // Before anything of the same name is replaced.
  std::optional<Id> linked;
  if (entry.kind == EntryKind::kHardLink) linked = TRY(LinkTarget(entry, layer));
  const Id parent = *TRY(Parent(entry.path, true));
  const std::string_view name = LastComponent(entry.path);
  auto& children = nodes_[parent].directory->children;
  const auto existing = children.find(name);
  if (existing != children.end()) {
    if (entry.kind == EntryKind::kDirectory && IsDirectory(existing->second)) {
      nodes_[existing->second].entry = std::move(entry);
      return {};
    }
    children.erase(existing);
    cached_parent_.reset();
  }
  if (entry.kind == EntryKind::kDirectory) {
    (void)TRY(AddDirectory(parent, name, std::move(entry), layer.number));
    return {};
  }
  const Id id = linked ? *linked : TRY(AddNode(std::move(entry), layer.number));
  nodes_[parent].directory->children.emplace(name, id);
  return {};
}

base::Status Tree::PlaceRoot(Entry entry) {
  nodes_[kRoot].entry = std::move(entry);
  return {};
}

base::Result<Tree::Id> Tree::LinkTarget(const Entry& entry, const Layer& layer) {
  auto found = TRY(Find(entry.target));
  if (!found) {
    const auto below = layer.links_below.find(entry.target);
    if (below != layer.links_below.end()) found = below->second;
  }
  if (!found) {
    return EntryError(ErrorCode::kInvalid, entry.path,
                      fmt::format("a hard link to '{}', which is not in the image before it",
                                  base::EscapeForTerminal(entry.target.substr(0, 200))));
  }
  if (IsDirectory(*found)) {
    return EntryError(ErrorCode::kInvalid, entry.path, "a hard link to a directory");
  }
  return *found;
}

base::Result<std::optional<Tree::Id>> Tree::Parent(std::string_view path, bool create) {
  const std::string_view parent = ParentPath(path);
  if (cached_parent_ && parent == cached_path_) return cached_parent_;
  const auto found = TRY(Walk(parent, create));
  cached_path_ = parent;
  cached_parent_ = found;
  return found;
}

base::Result<std::optional<Tree::Id>> Tree::Walk(std::string_view path, bool create) {
  std::vector<std::string_view> todo;
  PushComponents(path, todo);
  Id at = kRoot;
  int links = 0;
  while (!todo.empty()) {
    const std::string_view name = todo.back();
    todo.pop_back();
    if (name == "..") {
      at = nodes_[at].directory->parent;
      continue;
    }
    const auto& children = nodes_[at].directory->children;
    const auto child = children.find(name);
    if (child == children.end()) {
      if (!create) return std::optional<Id>();
      at = TRY(AddDirectory(at, name, ImplicitDirectory(), 0));
      continue;
    }
    if (IsDirectory(child->second)) {
      at = child->second;
      continue;
    }
    const Entry& entry = nodes_[child->second].entry;
    if (entry.kind != EntryKind::kSymlink) {
      if (!create) return std::optional<Id>();
      return EntryError(ErrorCode::kInvalid, path,
                        fmt::format("'{}' is not a directory, but entries are in it",
                                    base::EscapeForTerminal(name)));
    }
    if (++links > kMaxLinksFollowed) {
      if (!create) return std::optional<Id>();
      return EntryError(ErrorCode::kInvalid, path, "too many symbolic links");
    }
    if (entry.target.starts_with('/')) at = kRoot;
    PushComponents(entry.target, todo);
  }
  return std::optional<Id>(at);
}

base::Result<std::optional<Tree::Id>> Tree::Find(std::string_view path) {
  const auto parent = TRY(Walk(ParentPath(path), false));
  if (!parent) return std::optional<Id>();
  const auto& children = nodes_[*parent].directory->children;
  const auto found = children.find(LastComponent(path));
  return found == children.end() ? std::optional<Id>() : std::optional<Id>(found->second);
}

base::Result<Tree::Id> Tree::AddDirectory(Id parent, std::string_view name, Entry entry,
                                          uint32_t layer) {
  if (name.size() > kMaxNameLength) {  // a component of a link's target
    return EntryError(ErrorCode::kLimit, name, "a name longer than 255 bytes");
  }
  const uint32_t depth = nodes_[parent].directory->depth + 1;
  if (depth > kMaxDepth) {
    return EntryError(ErrorCode::kLimit, name, "directories are nested too deeply");
  }
  const Id id = TRY(AddNode(std::move(entry), layer));
  nodes_[id].directory = std::make_unique<Directory>();
  nodes_[id].directory->parent = parent;
  nodes_[id].directory->depth = depth;
  nodes_[parent].directory->children.emplace(name, id);
  return id;
}

base::Result<Tree::Id> Tree::AddNode(Entry entry, uint32_t layer) {
  if (nodes_.size() >= kMaxImageEntries) {
    return Fail(ErrorCode::kLimit, "the image has more than {} entries", kMaxImageEntries);
  }
  nodes_.emplace_back();
  nodes_.back().entry = std::move(entry);
  nodes_.back().layer = layer;
  return static_cast<Id>(nodes_.size() - 1);
}

}  // namespace msb::image
