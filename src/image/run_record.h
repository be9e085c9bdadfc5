// Run record: all that starting a sandbox needs to know of an image, in one small file.
//
// Derived from manifest and configuration when the image is added; one a manifest, in
// converted/1/<manifest>.run. Values; any thread. Errors: kCorrupt, kUnsupported (written by a
// newer version).
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace msb::image {

inline constexpr uint32_t kRunRecordFormat = 1;

// How the image wants to be run, absent parts empty.
struct ImageConfig {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;  // NAME=VALUE
  std::string workdir;
  std::string user;
  std::string stop_signal;
  std::vector<std::string> volumes;        // absolute paths in the guest
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::map<std::string, std::string> labels;
};
BOOST_DESCRIBE_STRUCT(ImageConfig, (),
                      (entrypoint, cmd, env, workdir, user, stop_signal, volumes, exposed_ports,
                       labels))

struct RunLayer {
  std::string digest;  // of the source
  uint64_t blob_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(RunLayer, (), (digest, blob_bytes))

struct RunRecord {
  uint32_t format = kRunRecordFormat;
  std::string uuid;  // of the volume; the metadata's file name too
  std::string metadata_digest;
  uint64_t metadata_bytes = 0;
  std::vector<RunLayer> layers;  // bottom first
  ImageConfig config;
};
BOOST_DESCRIBE_STRUCT(RunRecord, (),
                      (format, uuid, metadata_digest, metadata_bytes, layers, config))

base::Result<RunRecord> ParseRunRecord(std::string_view text);

bool IsUuid(std::string_view text);  // lower case, with dashes

}  // namespace msb::image
