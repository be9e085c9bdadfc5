// The two sides of a copy, as they stand on the command line, and what cp(1) makes of their names.
// Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "src/base/result.h"

namespace msb::cli {

struct CopySide {
  std::string sandbox;  // empty: a path of this machine
  std::string path;     // in a sandbox absolute
  bool stream() const { return sandbox.empty() && path == "-"; }
};

// NAME:PATH is a path in a sandbox if NAME (or NAMESPACE/NAME) can be one's name; a path there that
// is not absolute begins at the root. So a file with a colon in its name is ./NAME:PATH.
CopySide ParseCopySide(const std::string& text);
// kInvalid unless exactly one is in a sandbox, and both say where.
base::Status CheckCopySides(const CopySide& source, const CopySide& destination);

// What a copy of `path` is called in a directory; empty where the path names what is in a directory
// rather than a directory ("dir/.", "..", "/").
std::string BaseNameOf(std::string_view path);
// The directory of `path`, for a new name in it: "." if there is none.
std::string ParentOf(std::string_view path);
bool EndsInSlash(std::string_view path);
std::string WithoutSlashes(std::string_view path);  // at its end; "/" stays

}  // namespace msb::cli
