// Converter: where foreign bytes are converted. In the product that is msb-convert in jail E;
// tests of what is around it use a thread of their own.
//
// A conversion is fed: the trusted side reads the source, hashes it, keeps it and writes it into
// the conversion's pipe. What comes out is as hostile as what went in. One thread. Errors: what the
// conversion reports (layer_convert.h, merge.h), kSystem if it dies otherwise.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/image/erofs_writer.h"

namespace msb::image {

class LayerConversion {
 public:
  // Abandons the conversion if it was not finished.
  virtual ~LayerConversion() = default;
  // Closes the pipe, waits for the end, and says how it went. Once.
  virtual base::Status Finish() = 0;
  // The write end of the pipe. A conversion that has failed closes its end: EPIPE.
  virtual int pipe() const = 0;
};

class Converter {
 public:
  virtual ~Converter() = default;
  // Outputs: empty regular files, borrowed until the conversion ends.
  virtual base::Result<std::unique_ptr<LayerConversion>> StartLayer(int blob_fd, int index_fd) = 0;
  // See MergeLayers. Descriptors are borrowed.
  virtual base::Status Merge(std::span<const int> index_fds, const VolumeUuid& uuid,
                             int metadata_fd) = 0;
};

// `executable`: the path of msb-convert. The process must be single-threaded (jail::Spawn).
base::Result<std::unique_ptr<Converter>> MakeJailedConverter(const std::string& executable);

}  // namespace msb::image
