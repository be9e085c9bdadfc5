// Router: which handler answers which method on which path. Filled by main's wiring, then constant.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "src/server/http/exchange.h"

namespace msb::server::http {

enum class RequestType {
  kAny,   // whatever body, or none
  kJson,  // must say application/json: what has effects, and a page must not be able to send
};

struct Route {
  RequestType type = RequestType::kAny;
  Handler handler;
};

class Router {
 public:
  // `path` exactly. GET answers HEAD as well.
  void Add(std::string method, std::string path, RequestType type, Handler handler);

  struct Found {
    const Route* route = nullptr;
    std::string allow;  // the path's methods, as the Allow field; empty: no such path
  };
  Found Find(std::string_view method, std::string_view path) const;

 private:
  std::map<std::string, std::map<std::string, Route, std::less<>>, std::less<>> paths_;
};

}  // namespace msb::server::http
