// Methods: the JSON-RPC methods by name: one table, from which requests are served and the API is
// described (openapi.h). Immutable.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "src/base/json.h"
#include "src/server/schema.h"
#include "src/server/service.h"

namespace msb::server::rpc {

struct Method {
  std::string_view name;     // "sandbox.start"
  std::string_view summary;  // a sentence
  bool streams = false;      // it has more to say if it is asked for a stream
  // kInvalid names the member of `params` that is wrong.
  Async<base::Result<base::json::Value>> (*call)(Service& service, Call call,
                                                 base::json::Value params);
  base::json::Object (*params_schema)(const SchemaOptions& options);
  base::json::Object (*result_schema)(const SchemaOptions& options);
};

std::span<const Method> Methods();
const Method* FindMethod(std::string_view name);

}  // namespace msb::server::rpc
