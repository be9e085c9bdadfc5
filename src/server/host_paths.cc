#include "src/server/host_paths.h"

#include <algorithm>

#include "src/base/log.h"
#include "src/base/paths.h"

namespace msb::server {
namespace {

constexpr const char* kRunDirectory = "/run/msb";  // of root's sandboxes; others' is in the home

bool ContinuesName(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
         (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_' || byte == '.';
}

}  // namespace

HostPaths::HostPaths(const std::string& home, const std::string& directory) {
  Add(home, "$MSB_HOME");
  Add(directory, "NAMESPACES");
  Add(base::LibexecDirectory().value_or(""), "LIBEXEC");
  Add(kRunDirectory, "RUN");
  std::ranges::sort(names_, std::ranges::greater{},
                    [](const auto& entry) { return entry.first.size(); });
}

void HostPaths::Add(const std::string& path, std::string_view name) {
  if (path.size() > 1) names_.emplace_back(path, name);
  const auto real = base::RealPath(path);  // which messages may have as well
  if (real && *real != path && real->size() > 1) names_.emplace_back(*real, name);
}

std::string HostPaths::Hide(std::string_view text) const {
  std::string hidden;
  while (!text.empty()) {
    const auto found = std::ranges::find_if(names_, [&](const auto& entry) {
      const std::string& path = entry.first;
      return text.starts_with(path) &&
             (text.size() == path.size() || !ContinuesName(text[path.size()]));
    });
    const bool begins = hidden.empty() || (!ContinuesName(hidden.back()) && hidden.back() != '/');
    if (found == names_.end() || !begins) {
      hidden += text.front();
      text.remove_prefix(1);
    } else {
      hidden += found->second;
      text.remove_prefix(found->first.size());
    }
  }
  return hidden;
}

base::Error HostPaths::Hide(const base::Error& error) const {
  std::string hidden = Hide(error.message());
  if (hidden == error.message()) return error;
  LOG(kWarning, "{}", error.message());
  return {error.code(), std::move(hidden), error.sys_errno()};
}

}  // namespace msb::server
