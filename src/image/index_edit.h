// Changes to index.json, as pure functions from text to text: members and entries that other tools
// wrote stay as they are. Values. Errors: kCorrupt if the text is not an index.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/image/oci.h"

namespace msb::image {

// Adds a manifest under `names` (TaggedName), or without a name. Names move here from whatever had
// them; an image that is left without any is no longer in the index, unless its digest is `needed`:
// then it stays, without a name.
base::Result<std::string> AddToIndex(std::string_view index, const Descriptor& manifest,
                                     const std::vector<std::string>& names,
                                     const std::set<std::string>& needed = {});

// Removes the entry with this name; with an empty name every entry of the digest.
base::Result<std::string> RemoveFromIndex(std::string_view index, const std::string& name,
                                          const std::string& digest);

std::string EmptyIndex();

}  // namespace msb::image
