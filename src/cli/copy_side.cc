#include "src/cli/copy_side.h"

#include "src/sandbox/names.h"

namespace msb::cli {

CopySide ParseCopySide(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || !sandbox::IsFullName(std::string_view(text).substr(0, colon))) {
    return {.sandbox = "", .path = text};
  }
  CopySide side{.sandbox = text.substr(0, colon), .path = text.substr(colon + 1)};
  if (!side.path.empty() && side.path[0] != '/') side.path.insert(0, "/");
  return side;
}

base::Status CheckCopySides(const CopySide& source, const CopySide& destination) {
  const auto wrong = [](std::string_view what) {
    return base::Fail(base::ErrorCode::kInvalid, "{}", what);
  };
  if (source.sandbox.empty() && destination.sandbox.empty()) {
    return wrong("neither side is in a sandbox: one of them must be NAME:PATH");
  }
  if (!source.sandbox.empty() && !destination.sandbox.empty()) {
    return wrong(
        "both sides are in sandboxes: copy to this machine first, or by tar: "
        "msb cp A:PATH - | msb cp - B:PATH");
  }
  if (source.path.empty() || destination.path.empty()) {
    return wrong("a side names no path: NAME:PATH");
  }
  return {};
}

std::string WithoutSlashes(std::string_view path) {
  const size_t end = path.find_last_not_of('/');
  return end == std::string_view::npos ? "/" : std::string(path.substr(0, end + 1));
}

std::string BaseNameOf(std::string_view path) {
  const std::string plain = WithoutSlashes(path);
  const std::string name = plain.substr(plain.rfind('/') + 1);
  return name == "." || name == ".." ? "" : name;
}

std::string ParentOf(std::string_view path) {
  const std::string plain = WithoutSlashes(path);
  const size_t slash = plain.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : plain.substr(0, slash);
}

bool EndsInSlash(std::string_view path) { return path.ends_with('/'); }

}  // namespace msb::cli
