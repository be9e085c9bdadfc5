// JSON-RPC 2.0 messages, as the published clients expect them (spec: server, "JSON-RPC"): errors of
// JSON-RPC itself are error objects, all others are {"error":MESSAGE,"code":N}. Pure.
#pragma once

#include <string>
#include <string_view>

#include "src/base/json.h"
#include "src/server/errors.h"
#include "src/server/rpc/methods.h"

namespace msb::server::rpc {

struct Request {
  base::json::Value id;  // echoed, whatever it is
  const Method* method = nullptr;
  base::json::Value params;
};

// What cannot be served: HTTP's status, JSON-RPC's code.
struct Refusal {
  int status = 400;
  int code = -32600;
  std::string message;
  base::json::Value id;
};

std::expected<Request, Refusal> ParseRequest(std::string_view body);

base::json::Value ResponseOf(const base::json::Value& id, base::json::Value result);
base::json::Value ResponseOf(const Refusal& refusal);
// An error of a method in a WebSocket, where there is no HTTP status: with the id it belongs to.
base::json::Value ResponseOf(const base::json::Value& id, const ApiError& error);

// "default/test", for the log; empty if there is no sandbox in it.
std::string SandboxOf(const base::json::Value& params, std::string_view own_namespace);

}  // namespace msb::server::rpc
