// Store: the images of one user, $MSB_HOME/images. This half only reads; store_writer.h changes it.
//
//   oci-layout, index.json, blobs/sha256/    a valid OCI image layout: every source as it came, by
//                                            digest; index.json names the images
//   converted/1/<layer>.blob .index .layer   a converted layer: contents, index, record
//   converted/1/<uuid>.erofs                 metadata of a volume
//   converted/1/<manifest>.run               run record
//   store.lock    held shared while reading or adding, exclusive while removing
//   index.lock    held exclusive while index.json is replaced
//   layers.lock   one byte a layer, held while that layer is converted
// index.json alone says what is in the store: a file that nothing in it leads to is garbage of a
// command that was killed, and is removed by a later one. index.json is only ever replaced by
// rename.
//
// Open descriptors keep an image's data alive, so an image may be removed while it runs. Any
// thread; no state but the directory. Errors: kNotFound for an image that is not there (the message
// says how to bring it), kDenied for a home that is not the caller's, kCorrupt, kUnsupported for a
// store of a newer version.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/image/oci.h"
#include "src/image/reference.h"
#include "src/image/run_record.h"

namespace msb::image {

// A run of bytes of the image's disk; parts follow one another. Becomes a vmm::DiskPart.
struct ImagePart {
  base::UniqueFd fd;  // read-only
  uint64_t offset = 0;
  uint64_t length = 0;  // a multiple of 4096
};

struct RunnableImage {
  std::string name;    // for people: as short as it can be written
  std::string digest;  // of the manifest
  std::string uuid;    // of the volume
  ImageConfig config;
  std::vector<ImagePart> parts;  // the read-only root disk
  // The store's, shared: while it is held nobody removes the image, and a disk that is made over it
  // in the meantime is on record (disk_record.h) before anybody can.
  base::UniqueFd lock;
};

// One image of index.json.
struct ImageEntry {
  std::string name;  // "docker.io/library/python:latest"; empty: known by digest only
  Descriptor manifest;
};

class Store {
 public:
  // A home without a store, or that does not exist, is an empty store.
  static base::Result<Store> Open(const std::string& home);

  // `reference`: a name, a digest ("sha256:…") of a manifest, or the beginning of one.
  base::Result<RunnableImage> OpenForRun(const std::string& reference) const;
  // After a disk's record was written, and before `image` is let go: whoever takes its last name
  // away from now on sees the record. kNotFound for one whose name has just been taken away.
  base::Status CheckStill(const RunnableImage& image) const;

  base::Result<std::vector<ImageEntry>> List() const;
  base::Result<ImageEntry> Find(const std::string& reference) const;
  base::Result<RunRecord> ReadRunRecord(const ImageEntry& entry) const;
  base::Result<std::string> ReadBlob(const std::string& digest) const;  // a document, unverified

  // Held shared by every reader, until it has opened what it needs.
  base::Result<base::UniqueFd> LockShared() const;

  bool exists() const { return images_.valid(); }
  int images_fd() const { return images_.get(); }

 private:
  explicit Store(base::UniqueFd images) : images_(std::move(images)) {}

  base::UniqueFd images_;  // invalid: there is no store yet
};

// File names below images/.
inline constexpr const char* kIndexFile = "index.json";
inline constexpr const char* kLayoutFile = "oci-layout";
inline constexpr const char* kLayoutContent = R"({"imageLayoutVersion":"1.0.0"})";
inline constexpr const char* kStoreLock = "store.lock";
inline constexpr const char* kIndexLock = "index.lock";
inline constexpr const char* kLayersLock = "layers.lock";
inline constexpr const char* kBlobsDirectory = "blobs/sha256";
inline constexpr const char* kConvertedDirectory = "converted/1";
inline constexpr const char* kStoreVersion = "1\n";  // in $MSB_HOME/version

std::string BlobFile(const std::string& digest);                       // of a source
std::string LayerFile(const std::string& digest, const char* suffix);  // "blob", "index", "layer"
std::string MetadataFile(const std::string& uuid);
std::string RunFile(const std::string& manifest_digest);

// The images an index.json names. Entries without a usable name have an empty one.
base::Result<std::vector<ImageEntry>> EntriesOf(std::string_view index_json);

// What a user has named.
struct FoundEntry {
  ImageEntry entry;
  bool by_digest = false;  // not by a name: every name of the image is meant
};
// A name goes before the beginning of a digest, "sha256:" before it or not; kInvalid if several
// images' digests begin so. kNotFound without advice.
base::Result<FoundEntry> FindEntry(const std::vector<ImageEntry>& entries,
                                   const std::string& reference);
// How people see it: "python", "python:3.12", or the digest of an image without a name.
std::string DisplayName(const ImageEntry& entry);
// The error for an image that is not in the store, with the commands that would bring it.
base::Error MissingImage(const std::string& reference);

}  // namespace msb::image
