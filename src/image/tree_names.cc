#include "src/image/tree_names.h"

#include <algorithm>

#include "src/image/layer_index.h"

namespace msb::image {

using base::ErrorCode;
using base::Fail;

base::Result<std::vector<std::string>> SplitMemberName(std::string_view name) {
  std::vector<std::string> names;
  if (name.empty()) return Fail(ErrorCode::kCorrupt, "an empty name");
  if (name.front() == '/') return Fail(ErrorCode::kCorrupt, "an absolute name");
  if (name.size() > kMaxPathLength) return Fail(ErrorCode::kLimit, "longer than 4095 bytes");
  if (name.find('\0') != std::string_view::npos) {
    return Fail(ErrorCode::kCorrupt, "a name with NUL");
  }
  if (name.back() == '/') name.remove_suffix(1);
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    const std::string_view part = name.substr(at, end - at);
    at = end + 1;
    if (part == ".") continue;
    if (part.empty()) return Fail(ErrorCode::kCorrupt, "a name with an empty component");
    if (part == "..") return Fail(ErrorCode::kCorrupt, "a name with '..'");
    if (part.size() > kMaxNameLength) {
      return Fail(ErrorCode::kLimit, "a component longer than 255 bytes");
    }
    names.emplace_back(part);
  }
  return names;
}

std::string JoinNames(const std::vector<std::string>& names, size_t count) {
  std::string path;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) path += '/';
    path += names[i];
  }
  return path;
}

}  // namespace msb::image
