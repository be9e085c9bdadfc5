#include "src/agent/client/relative_path.h"

#include "src/agent/protocol.h"

namespace msb::agent {
namespace {

bool IsPlainName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255;
}

}  // namespace

bool IsRelativePath(std::string_view path, uint32_t depth) {
  if (path.size() > kMaxPath || path.find('\0') != std::string_view::npos) return false;
  for (; depth > 0; --depth) {
    const size_t slash = path.find('/');
    if (!IsPlainName(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
  return false;
}

}  // namespace msb::agent
