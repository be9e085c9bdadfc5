// `msb image save`: images of the store as an OCI archive, which `load` and other tools read.
//
// The sources leave as they came, byte for byte, checked against their digests on the way; the same
// images give the same archive. The caller holds the store's lock. One thread. Errors: kNotFound,
// kCorrupt for a damaged store, those of the sink.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/image/progress.h"
#include "src/image/store.h"

namespace msb::image {

base::Status SaveImages(const Store& store, const std::vector<ImageEntry>& entries,
                        const std::function<base::Status(std::string_view)>& sink,
                        Progress& progress);

}  // namespace msb::image
