// PersistentDisk: a sandbox's writable disk that outlives it, with its record
// (src/image/disk_record.h), in a directory of its own.
//
//   disk        sparse ext4 with a journal. Locked (F_OFD_SETLK, exclusive) while a sandbox runs on
//               it: disk_lock.h
//   disk.json   over which image it was made
//   disk.lock   held while one of the two is made or removed
//
// A crash between any two steps leaves a disk with its record, or none: the next Open makes what is
// missing. Any thread; the calls block. Errors: kInvalid for a disk of another image, kBusy for one
// in use, kCorrupt for one without its record, kNoSpace.
#pragma once

#include <cstdint>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/image/disk_record.h"
#include "src/image/store.h"

namespace msb::sandbox {

struct PersistentDisk {
  // An open file description of its own, read-write: its lock will be the sandbox's, so whoever
  // started that closes it.
  base::UniqueFd file;
  std::string path;
  uint64_t bytes = 0;
  image::DiskRecord record;
};

// `directory` is made if it is missing. `bytes` is what a new disk can hold; one that is there
// keeps its size.
base::Result<PersistentDisk> OpenPersistentDisk(const std::string& directory,
                                                const image::RunnableImage& image, uint64_t bytes);

// Fine if there is none.
base::Status RemovePersistentDisk(const std::string& directory);

// A new, empty one in the place of whatever there is.
base::Result<PersistentDisk> ResetPersistentDisk(const std::string& directory,
                                                 const image::RunnableImage& image, uint64_t bytes);

}  // namespace msb::sandbox
