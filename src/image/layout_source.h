// Where `load` reads an OCI layout or a docker-archive from: a directory, or a tar of one.
//
// A tar, perhaps compressed, is as foreign as a layer: it is converted like one (in the jail), and
// files are then read from its blob through its index. Symbolic links within are followed (old
// docker-archives have the same layer in several places by links); none leads out. One thread.
// Errors: kNotFound for a file that is not there, kCorrupt, kUnsupported, those of the converter.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/image/converter.h"

namespace msb::image {

// Bytes of a file, to be read once from `offset` on.
struct SourceFile {
  base::UniqueFd fd;
  uint64_t offset = 0;
  uint64_t size = 0;
};

class LayoutSource {
 public:
  virtual ~LayoutSource() = default;
  virtual base::Result<SourceFile> Open(const std::string& path) const = 0;
  // A whole document; kLimit beyond kMaxDocument.
  base::Result<std::string> Read(const std::string& path) const;
};

// Is told how many bytes have been read so far.
using OnBytes = std::function<void(uint64_t)>;

// `path`: a directory, an archive, or "-" for an archive on standard input. Temporary files are
// unnamed, in `temporary_directory`. What is there but is no layout is an error that says what it
// looks like.
base::Result<std::unique_ptr<LayoutSource>> OpenLayout(const std::string& path,
                                                       const std::string& temporary_directory,
                                                       Converter& converter,
                                                       const OnBytes& on_bytes);

// A converted layer of the store as if it were an archive; none if it has more files than archives
// of images have.
base::Result<std::unique_ptr<LayoutSource>> OpenConvertedLayer(int images_fd,
                                                               const std::string& digest);

// Whether there are images in it, rather than an image's files.
bool IsImageArchive(const LayoutSource& source);

// Pushes the file's bytes; kCorrupt if there are fewer than its size.
base::Status PushFile(const SourceFile& file,
                      const std::function<base::Status(std::string_view)>& sink);
// Pushes what a descriptor gives until its end.
base::Status PushAll(int fd, const std::function<base::Status(std::string_view)>& sink);

}  // namespace msb::image
