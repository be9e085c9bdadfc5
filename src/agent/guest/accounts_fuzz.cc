// Any passwd, group and user (separated by NUL): an identity or an error, within the limits.
#include <string_view>

#include "src/agent/guest/accounts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto next = [&rest] {
    const std::string_view part = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return part;
  };
  const std::string_view user = next();
  const std::string_view passwd = next();
  const auto identity = msb::agent::ResolveUser(user, passwd, rest);
  if (!identity) return 0;
  CHECK(identity->uid != ~0u && identity->gid != ~0u && !identity->home.empty());
  CHECK(identity->groups.size() <= msb::agent::kMaxGroups);
  return 0;
}
