// The agent protocol's requests about files and trees of files, and what answers them. See
// protocol.h.
//
// Paths are absolute, in the guest. `user` as in Exec: whose rights are used and who owns what is
// created. Requests of one connection are done side by side and answered as they are done. One
// whose file system does not answer for kFilePatience_ms is given up with kTimeout; so is a
// transfer that has begun, by a Broken event. When the connection goes, what it asked for is given
// up, too.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>

#include "src/base/bytes.h"

namespace msb::agent {

enum class FileKind { kRegular, kDirectory, kSymlink, kFifo, kSocket, kCharacter, kBlock };
BOOST_DESCRIBE_ENUM(FileKind, kRegular, kDirectory, kSymlink, kFifo, kSocket, kCharacter, kBlock)

struct FileStatus {
  FileKind kind = FileKind::kRegular;
  uint32_t mode = 0;  // permission bits, set-user-ID, set-group-ID and sticky
  uint64_t size = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t modified_ns = 0;
};
BOOST_DESCRIBE_STRUCT(FileStatus, (), (kind, mode, size, uid, gid, modified_ns))

// Answered by FileStatus; then data on stream 1 and its end (or a Broken event).
struct ReadFile {
  base::Bytes path = {};
  base::Bytes user = {};
  uint64_t offset = 0;
  std::optional<uint64_t> length = {};  // absent: to the end
};
BOOST_DESCRIBE_STRUCT(ReadFile, (), (path, user, offset, length))

// Data on stream 0 against credit, then its end; answered by FileStatus once all is written. A
// failure may be answered at any time. The file is created or truncated; it is not atomic.
struct WriteFile {
  base::Bytes path = {};
  base::Bytes user = {};
  uint32_t mode = 0644;  // of a new file
  bool exclusive = false;
};
BOOST_DESCRIBE_STRUCT(WriteFile, (), (path, user, mode, exclusive))

struct StatFile {
  base::Bytes path = {};
  base::Bytes user = {};
  bool follow = true;
};
BOOST_DESCRIBE_STRUCT(StatFile, (), (path, user, follow))

// Entries events, then the Reply. With a depth above 1 also what is in the directories below, each
// after its directory, with names like "a/b"; links are not followed. A directory below that cannot
// be listed gives a Skipped event.
struct ListDirectory {
  base::Bytes path = {};
  base::Bytes user = {};
  uint32_t depth = 1;  // 1: the directory's own entries; at most kMaxListDepth
};
BOOST_DESCRIBE_STRUCT(ListDirectory, (), (path, user, depth))

struct DirectoryEntry {
  base::Bytes name = {};  // relative to the directory that is listed
  FileStatus status = {};
  base::Bytes target = {};  // of a symbolic link
};
BOOST_DESCRIBE_STRUCT(DirectoryEntry, (), (name, status, target))

// `parents`: those that are missing are made, too (with 0755), and a directory that is there
// already is fine; else that is kExists.
struct MakeDirectory {
  base::Bytes path = {};
  base::Bytes user = {};
  uint32_t mode = 0755;
  bool parents = false;
};
BOOST_DESCRIBE_STRUCT(MakeDirectory, (), (path, user, mode, parents))

// A file, a link itself, an empty directory; `recursive`: a directory with all that is in it. What
// was removed before a failure stays so.
struct Remove {
  base::Bytes path = {};
  base::Bytes user = {};
  bool recursive = false;
};
BOOST_DESCRIBE_STRUCT(Remove, (), (path, user, recursive))

// Atomic at the new name; to another file system a file is copied (all else: kUnsupported).
// Without `replace` a taken name is kExists.
struct Rename {
  base::Bytes from = {};
  base::Bytes to = {};
  base::Bytes user = {};
  bool replace = true;
};
BOOST_DESCRIBE_STRUCT(Rename, (), (from, to, user, replace))

struct ChangeMode {
  base::Bytes path = {};
  base::Bytes user = {};
  uint32_t mode = 0644;
};
BOOST_DESCRIBE_STRUCT(ChangeMode, (), (path, user, mode))

struct MakeSymlink {
  base::Bytes target = {};
  base::Bytes path = {};
  base::Bytes user = {};
};
BOOST_DESCRIBE_STRUCT(MakeSymlink, (), (target, path, user))

// Answered by Reply::target.
struct ReadSymlink {
  base::Bytes path = {};
  base::Bytes user = {};
};
BOOST_DESCRIBE_STRUCT(ReadSymlink, (), (path, user))

// Answered by the directory's FileStatus; from then on its changes come as Changes events, until
// the connection ends or the directory is gone (a Broken event). It uses up its connection.
// `recursive`: also what is below, directories that come later, too; links are not followed, other
// file systems not entered. More directories than kMaxWatchedDirectories are kLimit, or a kOverflow
// later on.
struct WatchFiles {
  base::Bytes path = {};
  base::Bytes user = {};
  bool recursive = false;
};
BOOST_DESCRIBE_STRUCT(WatchFiles, (), (path, user, recursive))

enum class ChangeKind {
  kCreated,     // or found in a directory that has just come
  kWritten,     // contents
  kAttributes,  // mode, owner, times
  kRemoved,
  kRenamedFrom,  // its old name; a kRenamedTo has the same cookie if the new one is watched, too
  kRenamedTo,
  kOverflow,  // changes were missed: more than the queue holds, or in directories beyond the limit
};
BOOST_DESCRIBE_ENUM(ChangeKind, kCreated, kWritten, kAttributes, kRemoved, kRenamedFrom, kRenamedTo,
                    kOverflow)

struct FileChange {
  ChangeKind kind = ChangeKind::kCreated;
  base::Bytes name = {};  // relative to the watched directory; empty: that itself
  bool directory = false;
  uint32_t cookie = 0;  // of a rename
};
BOOST_DESCRIBE_STRUCT(FileChange, (), (kind, name, directory, cookie))

// --- trees ---------------------------------------------------------------------------------------
// A file, or a directory with all that is in it, as one PAX tar stream: modes, times to the
// nanosecond, symbolic and hard links, holes. No attributes, no sockets. Each uses up its
// connection.

// Answered by the top's FileStatus; then the tar as data on stream 1, and its end (or a Broken
// event). What cannot be read is left out with a Skipped event.
struct Pack {
  base::Bytes path = {};
  base::Bytes user = {};
  base::Bytes name = {};   // of the top in the tar; empty: the top is left out, only what is in it
  bool follow = false;     // a top that is a symbolic link: what it leads to
  bool recursive = false;  // else a directory is kWrongKind
};
BOOST_DESCRIBE_STRUCT(Pack, (), (path, user, name, follow, recursive))

// A tar as data on stream 0 against credit, then its end; answered by Unpacked once all is written,
// by a failure at any time. Extracted into the directory `path`, which must exist. Files appear
// whole, over what has their name; directories that are there stay as they are.
struct Unpack {
  base::Bytes path = {};
  base::Bytes user = {};
  bool keep_owners = false;  // the tar's owners (numbers), where `user` may give files away
};
BOOST_DESCRIBE_STRUCT(Unpack, (), (path, user, keep_owners))

struct Unpacked {
  uint64_t entries = 0;
  uint64_t bytes = 0;    // of contents, without holes
  uint64_t skipped = 0;  // devices and FIFOs, which are never made
};
BOOST_DESCRIBE_STRUCT(Unpacked, (), (entries, bytes, skipped))

}  // namespace msb::agent
