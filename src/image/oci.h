// OCI and Docker JSON: indexes, manifests, image configurations. OCI image specification 1.1;
// Docker image manifest version 2, schema 2.
//
// Members carry their JSON names. Documents may come from anywhere: they are bounded, decoding
// checks what this program relies on, digests are not yet verified here. Go writes null for empty
// lists, hence the optionals. Values; any thread. Errors: kCorrupt for documents that are not what
// they should be, kUnsupported for well-formed ones of kinds this version does not know.
#pragma once

#include <boost/describe.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/json.h"
#include "src/base/result.h"

namespace msb::image {

inline constexpr size_t kMaxDocument = 8 << 20;  // of a manifest, an index, a configuration

inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";

// Annotations that name an image in an index.
inline constexpr const char* kContainerdName = "io.containerd.image.name";
inline constexpr const char* kRefName = "org.opencontainers.image.ref.name";

using StringMap = std::map<std::string, std::string>;

struct Platform {
  std::string architecture;
  std::string os;
  std::optional<std::string> variant;
};
BOOST_DESCRIBE_STRUCT(Platform, (), (architecture, os, variant))

struct Descriptor {
  static constexpr auto kRequired = std::to_array<std::string_view>({"digest", "size"});
  std::optional<std::string> mediaType;
  std::string digest;
  uint64_t size = 0;
  std::optional<StringMap> annotations;
  std::optional<Platform> platform;

  std::string Annotation(const char* key) const;  // empty if there is none
};
BOOST_DESCRIBE_STRUCT(Descriptor, (), (mediaType, digest, size, annotations, platform))

struct Manifest {
  static constexpr auto kRequired = std::to_array<std::string_view>({"config", "layers"});
  uint32_t schemaVersion = 2;
  std::optional<std::string> mediaType;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::optional<StringMap> annotations;
};
BOOST_DESCRIBE_STRUCT(Manifest, (), (schemaVersion, mediaType, config, layers, annotations))

struct Index {
  static constexpr auto kRequired = std::to_array<std::string_view>({"manifests"});
  uint32_t schemaVersion = 2;
  std::optional<std::string> mediaType;
  std::vector<Descriptor> manifests;
};
BOOST_DESCRIBE_STRUCT(Index, (), (schemaVersion, mediaType, manifests))

// The part of an image's configuration that says how to run it.
struct RunConfig {
  using Strings = std::vector<std::string>;
  using Set = std::map<std::string, base::json::Value>;  // Go's way to write one
  std::optional<Strings> Entrypoint;
  std::optional<Strings> Cmd;
  std::optional<Strings> Env;
  std::optional<std::string> WorkingDir;
  std::optional<std::string> User;
  std::optional<std::string> StopSignal;
  std::optional<Set> Volumes;
  std::optional<Set> ExposedPorts;
  std::optional<StringMap> Labels;
};
BOOST_DESCRIBE_STRUCT(RunConfig, (),
                      (Entrypoint, Cmd, Env, WorkingDir, User, StopSignal, Volumes, ExposedPorts,
                       Labels))

struct RootFs {
  static constexpr auto kRequired = std::to_array<std::string_view>({"diff_ids"});
  std::string type = "layers";
  std::vector<std::string> diff_ids;
};
BOOST_DESCRIBE_STRUCT(RootFs, (), (type, diff_ids))

struct ConfigFile {
  static constexpr auto kRequired = std::to_array<std::string_view>({"rootfs"});
  std::string architecture;
  std::string os;
  std::optional<RunConfig> config;
  RootFs rootfs;
};
BOOST_DESCRIBE_STRUCT(ConfigFile, (), (architecture, os, config, rootfs))

enum class DocumentKind { kIndex, kManifest };

// By its own media type, the descriptor's, or, where both are silent, by its members.
base::Result<DocumentKind> KindOfDocument(const base::json::Value& document,
                                          const Descriptor& descriptor);
base::Result<Index> DecodeIndex(const base::json::Value& document);
// Also checks that every layer has a media type that can be converted.
base::Result<Manifest> DecodeManifest(const base::json::Value& document);
// Also checks that it is for linux/amd64 and has `layers` diff ids.
base::Result<ConfigFile> DecodeConfig(std::string_view text, size_t layers);
base::Result<base::json::Value> ParseDocument(std::string_view text);

// The media type of a layer, by how its first bytes (up to 4) say that it is compressed.
std::string LayerTypeOf(std::string_view start);

// Whether a machine of ours can run it. Descriptors without a platform may be anything.
bool MayRunHere(const Descriptor& descriptor);
// What else is in an index beside images: signatures, attestations.
bool IsAttachment(const Descriptor& descriptor);

}  // namespace msb::image
