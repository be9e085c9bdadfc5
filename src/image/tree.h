// Tree: the file system that a stack of layers makes.
//
// Layers are applied bottom first. Of each, whiteouts and opaque marks are resolved against the
// layers below it only, wherever they stand in the layer (OCI image specification, "Layer
// Filesystem Changeset"); then its entries are placed in order, the last of a name winning. A
// directory over a directory keeps what is in it; everything else replaces what was there. Parents
// that no entry describes are directories of root, mode 0755. A parent that is a symbolic link is
// followed within the tree, ".." stopping at its root, so nothing can lead out: that is what
// unpackers which confine themselves to the root do.
//
// Strings point into the indexes, which must stay in memory. One thread. Takes hostile input:
// depth, links followed and entries are bounded. Errors: kInvalid, kLimit, naming layer and entry.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/base/result.h"
#include "src/image/layer_index.h"

namespace msb::image {

inline constexpr size_t kMaxImageEntries = 4'000'000;

class Tree {
 public:
  using Id = uint32_t;
  static constexpr Id kRoot = 0;

  struct Directory {
    Id parent = kRoot;
    uint32_t depth = 0;
    std::map<std::string_view, Id> children;  // by bytes, as EROFS wants them
  };

  // An inode: hard links are several names of one.
  struct Node {
    Entry entry;         // its path and the target of hard links mean nothing here
    uint32_t layer = 0;  // whose blob has the contents
    std::unique_ptr<Directory> directory;
  };

  Tree();

  // `number` counts from 0, bottom first.
  base::Status Apply(std::string_view index, uint32_t number);

  const Node& node(Id id) const { return nodes_[id]; }
  size_t size() const { return nodes_.size(); }  // unreachable ones included

 private:
  struct Layer {
    uint32_t number;
    // What hard links named in the layers below, before this layer's whiteouts.
    std::unordered_map<std::string_view, Id> links_below;
  };

  base::Status Prepare(std::string_view index, Layer& layer);
  base::Status Hide(const Entry& mark);
  base::Status Place(Entry entry, const Layer& layer);
  base::Status PlaceRoot(Entry entry);
  base::Result<Id> LinkTarget(const Entry& entry, const Layer& layer);

  // The directory that contains `path`'s last component, created where `create`; nothing if it does
  // not exist.
  base::Result<std::optional<Id>> Parent(std::string_view path, bool create);
  base::Result<std::optional<Id>> Walk(std::string_view path, bool create);
  base::Result<std::optional<Id>> Find(std::string_view path);  // a last link is not followed
  base::Result<Id> AddDirectory(Id parent, std::string_view name, Entry entry, uint32_t layer);
  base::Result<Id> AddNode(Entry entry, uint32_t layer);
  bool IsDirectory(Id id) const { return nodes_[id].directory != nullptr; }

  std::vector<Node> nodes_;
  // The parent that was walked to last; entries of a directory follow one another.
  std::string_view cached_path_;
  std::optional<Id> cached_parent_;
};

}  // namespace msb::image
