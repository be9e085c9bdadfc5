// DiskRecord: disk.json, beside a writable disk that lasts: over which image it was made. Such a
// disk holds what differs from that image and is of no use over another, so it pins it: the image
// is not removed while the disk is there.
//
//   $MSB_HOME/namespaces/NAMESPACE/NAME/disk, disk.json    of the sandbox NAMESPACE/NAME
//   $MSB_HOME/disk-directories    other directories that hold the same, a JSON string a line
//
// The record is written before the disk gets its name and removed after it, so that there is no
// disk without one. Any thread. Errors: kNotFound, kCorrupt, those of the system calls.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "src/base/result.h"

namespace msb::image {

inline constexpr const char* kNamespacesDirectory = "namespaces";
inline constexpr const char* kDiskDirectoriesFile = "disk-directories";
inline constexpr const char* kDiskFile = "disk";
inline constexpr const char* kDiskRecordFile = "disk.json";

struct DiskRecord {
  uint32_t format = 1;
  std::string image;            // for people
  std::string image_uuid;       // of the volume
  std::string manifest_digest;  // of the image
  uint64_t bytes = 0;           // what the disk can hold
};
BOOST_DESCRIBE_STRUCT(DiskRecord, (), (format, image, image_uuid, manifest_digest, bytes))

base::Result<DiskRecord> ReadDiskRecord(int directory_fd);
base::Status WriteDiskRecord(int directory_fd, const DiskRecord& record);  // flushed

struct DiskPin {
  std::string sandbox;  // NAMESPACE/NAME
  DiskRecord record;
};
// From now on disks may be in that directory, too, which is there. Nothing to do if it is known.
base::Status AddDiskDirectory(const std::string& home, const std::string& directory);

// Of all sandboxes of that home. A record that cannot be read pins nothing, and is warned of; so is
// a directory that is not there.
base::Result<std::vector<DiskPin>> FindDiskPins(const std::string& home);
// Says which disks need which images: asked once nobody makes another.
using PinFinder = std::function<base::Result<std::vector<DiskPin>>()>;
// The digests of the manifests that they need.
std::set<std::string> PinnedManifests(const std::vector<DiskPin>& pins);

}  // namespace msb::image
