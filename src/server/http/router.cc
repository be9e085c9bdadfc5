#include "src/server/http/router.h"

#include <utility>

#include "src/base/result.h"

namespace msb::server::http {

void Router::Add(std::string method, std::string path, RequestType type, Handler handler) {
  const bool added =
      paths_[std::move(path)].emplace(std::move(method), Route{type, std::move(handler)}).second;
  CHECK(added);
}

Router::Found Router::Find(std::string_view method, std::string_view path) const {
  const auto methods = paths_.find(path);
  if (methods == paths_.end()) return {};
  Found found;
  for (const auto& [name, route] : methods->second) {
    found.allow += (found.allow.empty() ? "" : ", ") + name;
    if (name == "GET" && !methods->second.contains("HEAD")) found.allow += ", HEAD";
  }
  found.allow += ", OPTIONS";
  auto route = methods->second.find(method);
  if (route == methods->second.end() && method == "HEAD") route = methods->second.find("GET");
  if (route != methods->second.end()) found.route = &route->second;
  return found;
}

}  // namespace msb::server::http
