// TreeExtractor: a tar's members made into files beneath a directory, and nowhere else.
//
// For tars from a sandbox, which are hostile, and for tars into one. Every name is checked
// (tree_names.h) and looked up by openat2 beneath the directory, never through a link that the tar
// or somebody before it put there; links are made last of all. Files appear whole (new_file.h),
// over any non-directory of their name; directories that exist stay as they are, others get mode
// and time at the end. Devices and FIFOs are never made, only counted.
//
// Blocking; one thread; the descriptor is borrowed. Memory: up to kMaxRemembered for what has to
// wait or to be known. What was extracted before an error stays. Errors: kCorrupt and kLimit for
// what the tar is at fault for, kExists and kWrongKind-like kInvalid for what is in the way, those
// of the system calls; all name the member, escaped for a terminal.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/image/tar_reader.h"

namespace msb::image {

struct ExtractPolicy {
  // Who wrote the tar is not trusted: links that are there already are not followed either, a name
  // comes once and after its directory, hard links lead to files of this tar only, nothing follows
  // its end, and what is no file or link is not replaced.
  bool hostile = true;
  uint16_t mode_mask = 0777;     // what of a mode is kept: no set-user-ID, set-group-ID, sticky
  bool keep_owners = false;      // else everything belongs to the caller
  std::string only = {};         // if set: the one name of the first component
  bool single_file = false;      // and it must be a regular file
  uint64_t keep_free_bytes = 0;  // on the disk, once 64 MiB or 5,000 entries have been written
};

struct ExtractCounts {
  uint64_t entries = 0;
  uint64_t bytes = 0;    // of contents, without holes
  uint64_t skipped = 0;  // devices and FIFOs
};

class TreeExtractor {
 public:
  TreeExtractor(int root_fd, ExtractPolicy policy);

  base::Status Run(TarStream& stream);  // once; to the end of the stream
  const ExtractCounts& counts() const { return counts_; }

  static constexpr uint64_t kMaxTreeEntries = 10'000'000;
  static constexpr size_t kMaxRemembered = 256 << 20;

 private:
  using Names = std::vector<std::string>;
  struct Metadata {
    decltype(TarMember::mode) mode;
    TarTime mtime;
    decltype(TarMember::uid) uid;
    decltype(TarMember::gid) gid;
  };
  struct FileId {
    dev_t device;
    ino_t inode;
    bool operator==(const FileId&) const = default;
  };
  struct Later {  // a link to be made, or a directory to be finished
    std::string path;
    std::string target;
    Metadata metadata;
    FileId id;  // of the directory
  };
  struct HashFileId {
    size_t operator()(const FileId& id) const {
      return static_cast<size_t>(id.inode * 0x9e3779b97f4a7c15 ^ id.device);
    }
  };

  base::Status TakeAll(TarReader& tar);
  base::Status Take(TarMember& member, TarReader& tar);
  base::Status CheckAllowed(const Names& names, const TarMember& member) const;
  base::Status TakeFile(const Names& names, const TarMember& member, TarReader& tar);
  base::Status TakeDirectory(const Names& names, const TarMember& member);
  base::Status TakeHardLink(const Names& names, const TarMember& member);
  static Metadata MetadataOf(const TarMember& member);
  base::Status Defer(std::vector<Later>& list, const Names& names, const TarMember& member);
  base::Status WriteContents(int fd, const TarMember& member, TarReader& tar);
  base::Status WriteSegment(int fd, SparseSegment segment, TarReader& tar);
  base::Status MakeSymlink(const Later& link);
  base::Status FinishDirectory(const Later& directory);
  base::Status ApplyMetadata(int fd, const Metadata& metadata) const;
  base::Status MayReplace(int dir_fd, const std::string& name) const;
  base::Status CheckSpace(uint64_t bytes, uint64_t entries);
  base::Status Remember(size_t bytes);
  base::Status RememberMade(const struct stat& status);

  base::Result<base::UniqueFd> OpenDirectory(const std::string& path) const;
  base::Result<base::UniqueFd> MakeParents(const Names& names) const;
  // The directory of the last of `names`, made if it is missing; valid until the next call.
  base::Result<int> Parent(const Names& names);

  const int root_fd_;
  const ExtractPolicy policy_;
  ExtractCounts counts_;
  std::string parent_path_;
  base::UniqueFd parent_;
  std::vector<Later> symlinks_;
  std::vector<Later> directories_;
  std::unordered_set<FileId, HashFileId> made_;
  size_t remembered_ = 0;
  bool checked_ = false;
  uint64_t unchecked_bytes_ = 0;
  uint64_t unchecked_entries_ = 0;
};

}  // namespace msb::image
