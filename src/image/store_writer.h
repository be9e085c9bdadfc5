// StoreWriter: adds to the store (store.h has its layout).
//
// Everything is written to unnamed files and gets its name when it is complete, flushed and
// verified, in this order: sources and converted layers, metadata and run record, and last
// index.json, which makes images visible, all of one command at once. Killed at any moment, a
// command leaves either nothing visible or everything; what it had already converted is used by the
// next one.
//
// One thread. Holds the store's lock shared for its lifetime. Errors: kCorrupt for digests and
// sizes that do not match, kNoSpace, those of the converter and of the producer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/image/converter.h"
#include "src/image/layer_record.h"
#include "src/image/store.h"

namespace msb::image {

// Takes a piece of a source; an Error ends the production.
using Sink = std::function<base::Status(std::string_view)>;
// Pushes a whole source into a sink.
using Producer = std::function<base::Status(const Sink&)>;

// What a source must be; checked while it is read.
struct Expected {
  std::string digest;
  uint64_t size = 0;
};

// An image that is complete in the store but not yet in index.json.
struct PreparedImage {
  Descriptor manifest;
  std::vector<std::string> names;  // TaggedName; none: known by digest
};

class StoreWriter {
 public:
  // Creates the home and the store where they do not exist. `converter` is borrowed.
  static base::Result<StoreWriter> Open(const std::string& home, Converter& converter);

  // Converts a source, or finds it converted. Without `expected` the source is what it is.
  base::Result<LayerRecord> AddLayer(const std::optional<Expected>& expected,
                                     const Producer& produce);
  // A document, kept under its digest.
  base::Result<std::string> AddDocument(std::string_view content);
  // Merges the layers of a manifest that is in the store, with everything it leads to.
  base::Status AddImage(const std::string& manifest_digest, const std::vector<LayerRecord>& layers,
                        const ImageConfig& config);
  // Makes images visible. A name that another image had is this one's now; what the disks of the
  // home's sandboxes need stays, if need be without a name.
  base::Status Publish(const std::vector<PreparedImage>& images);

  int images_fd() const { return images_.get(); }

  // Gives up the shared lock and removes what nothing leads to any more, unless other commands are
  // using the store: then one of them will.
  base::Status Collect();

 private:
  StoreWriter(std::string home, base::UniqueFd images, base::UniqueFd lock, Converter& converter)
      : home_(std::move(home)),
        images_(std::move(images)),
        lock_(std::move(lock)),
        converter_(&converter) {}

  base::Result<std::optional<LayerRecord>> FindLayer(const std::string& digest) const;
  base::Result<base::UniqueFd> NewFile(const char* directory) const;
  base::Status Name(int fd, const std::string& file) const;
  base::Result<LayerRecord> FinishLayer(const Expected& source, int source_fd, int blob_fd,
                                        int index_fd) const;
  base::Status AddMetadata(const std::vector<LayerRecord>& layers, RunRecord& record);

  std::string home_;
  base::UniqueFd images_;
  base::UniqueFd lock_;
  Converter* converter_;
};

// The UUID of a volume made of these layers, and its text.
VolumeUuid UuidOf(const std::vector<LayerRecord>& layers);
std::string UuidText(const VolumeUuid& uuid);

// The run configuration of an image's configuration file.
ImageConfig ConfigOf(const ConfigFile& file);

}  // namespace msb::image
