// OpenApi: the description of the whole HTTP API (OpenAPI 3.1), made from the structs that the
// methods use. docs/api.md is made from it (scripts/api-docs). Pure.
#pragma once

#include "src/base/json.h"

namespace msb::server::rpc {

base::json::Object OpenApi();

}  // namespace msb::server::rpc
