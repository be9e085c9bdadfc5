// Writable disks: sparse ext4 files made from templates that were formatted when the product was
// built (make-disk-templates, disk_template.h), so that no mkfs runs when a sandbox starts.
//
// The file's size is a hard quota: the guest's file system cannot outgrow it, and the host stores
// only what was written. There are two templates of each kind, 8 GiB and 64 MiB; a disk of another
// size is made from the largest that is not larger, and the agent grows the file system
// (EXT4_IOC_RESIZE_FS) when it first mounts a device larger than what is on it.
//
// Any thread. Errors: kInvalid for a bad size, kNoSpace for a full host disk, kExists for a name
// that is taken, kNotFound if the installation has no templates.
#pragma once

#include <cstdint>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::image {

inline constexpr uint64_t kDefaultDiskBytes = uint64_t{8} << 30;
inline constexpr uint64_t kMinDiskBytes = uint64_t{64} << 20;
inline constexpr uint64_t kMaxDiskBytes = uint64_t{16} << 40;

enum class DiskKind {
  kTemporary,   // no journal
  kPersistent,  // with one
};

// Where templates are, below the directory of helpers (base::LibexecDirectory).
inline constexpr const char* kTemplatesDirectory = "disks";

// kInvalid, with the bounds, unless a disk can be that large.
base::Status CheckDiskSize(uint64_t bytes);

// A disk without a name, gone with its last descriptor. `directory` chooses the host file system.
base::Result<base::UniqueFd> CreateUnnamedDisk(const std::string& libexec, DiskKind kind,
                                               uint64_t bytes, const std::string& directory);

// A disk that stays, complete before it has its name.
base::Result<base::UniqueFd> CreateNamedDisk(const std::string& libexec, DiskKind kind,
                                             uint64_t bytes, int directory_fd,
                                             const std::string& name);

}  // namespace msb::image
