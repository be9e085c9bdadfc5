// Changes to which images the store has and how they are called, but for adding
// (store_writer.h).
//
// One thread. Errors: kNotFound, kCorrupt, those of the system calls.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/image/disk_record.h"
#include "src/image/store.h"

namespace msb::image {

// Replaces index.json by what `edit` makes of it, under the index lock.
base::Status EditIndex(int images_fd,
                       const std::function<base::Result<std::string>(std::string_view)>& edit);

// Removes names (or, by digest, images with all their names), and then the files that nothing leads
// to any more. Waits until no other command reads or adds. All or none: kBusy if one of the pins
// would lose its image, which names the sandboxes. Returns the entries that are gone.
base::Result<std::vector<ImageEntry>> RemoveImages(const Store& store,
                                                   const std::vector<std::string>& references,
                                                   const PinFinder& find_pins = {});

// Gives the image `source` the name `target` (TaggedName), whatever had it before.
struct Renamed {
  ImageEntry image;                  // under its new name
  std::optional<ImageEntry> before;  // another image that had the name
  bool dropped = false;              // that image has no name left: it is gone
  bool unnamed = false;              // it has none left, but a pin needs it: it stays
};
base::Result<Renamed> TagImage(const Store& store, const std::string& source,
                               const std::string& target, const PinFinder& find_pins = {});

// Removes every file of the store that index.json does not lead to; bytes freed. The caller holds
// the store's lock exclusively. Removes nothing if it cannot tell what is in use.
base::Result<uint64_t> CollectGarbage(int images_fd);

}  // namespace msb::image
