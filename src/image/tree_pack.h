// TreePacker: a file, or a directory with all that is in it, as a tar, for copying while others may
// be writing there.
//
// Links are never followed below the top; hard links within the tree, holes and times are kept,
// attributes are not. A file that changes while it is read is cut or filled up to the size that was
// announced; one without a size (of /proc) is read first. Kernel file systems (/proc, /sys …) below
// the top are left empty, sockets are left out. What cannot be read is reported and left out.
//
// Blocking; one thread. Memory: a piece, the names of the directories that are open, and up to
// kMaxKnownLinks paths. Errors: those of the sink, and whatever is wrong with the top.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "src/image/tar_writer.h"

namespace msb::image {

struct PackOptions {
  std::string name = {};   // of the top in the tar; empty: the top is left out, only what is in it
  bool follow = false;     // a top that is a link: what it leads to
  bool recursive = false;  // else a directory is an error (kInvalid)
};

class TreePacker {
 public:
  // The path in the tar, and why. The end of a file that became unreadable is reported as well.
  using OnSkipped = std::function<void(const std::string& path, const base::Error& why)>;

  TreePacker(TarWriter::Sink sink, OnSkipped on_skipped);

  base::Status Pack(const std::string& path, const PackOptions& options);
  bool sink_failed() const { return sink_failed_; }  // whose fault an error was

  static constexpr size_t kMaxKnownLinks = 100'000;
  static constexpr size_t kMaxUnsized = 16 << 20;  // of a file that has no size but content

 private:
  struct Link {
    std::string path;  // the first
    nlink_t left;      // names that have not been seen
  };

  base::Status Put(std::string_view data);
  base::Status WalkDirectory(int directory_fd, const std::string& prefix, dev_t device);
  base::Status PackEntry(int directory_fd, const std::string& name, const std::string& path,
                         const struct stat& status, bool follow);
  base::Status PackDirectory(int directory_fd, const std::string& name, const std::string& path,
                             const struct stat& status, dev_t parent_device);
  base::Status PackFile(int directory_fd, const std::string& name, const std::string& path,
                        bool follow);
  base::Status PackSmall(int fd, TarMember& member);
  base::Status PackLarge(int fd, const TarMember& member);
  base::Status CopyData(int fd, SparseSegment segment, const TarMember& member);
  std::optional<std::string> FirstName(const struct stat& status);
  void Remember(const struct stat& status, const std::string& path);

  TarWriter::Sink sink_;
  TarWriter tar_;
  OnSkipped on_skipped_;
  bool sink_failed_ = false;
  std::vector<char> buffer_;
  std::map<std::pair<dev_t, ino_t>, Link> links_;
};

}  // namespace msb::image
