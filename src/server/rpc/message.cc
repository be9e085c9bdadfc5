#include "src/server/rpc/message.h"

#include "src/base/bytes.h"
#include "src/server/json_size.h"

namespace msb::server::rpc {
namespace {

using base::json::Object;
using base::json::Value;

constexpr int kParseError = -32700;
constexpr int kInvalidRequest = -32600;
constexpr int kMethodNotFound = -32601;

Refusal Invalid(std::string message, Value id = nullptr) {
  return {400, kInvalidRequest, std::move(message), std::move(id)};
}

std::string_view TextOf(const Object& object, std::string_view name) {
  const Value* value = object.if_contains(name);
  if (value == nullptr || !value->is_string()) return {};
  return value->get_string();
}

}  // namespace

std::expected<Request, Refusal> ParseRequest(std::string_view body) {
  if (CountValues(body) > kMaxValues) {
    return std::unexpected(
        Invalid(fmt::format("the body has more than {} names and values", kMaxValues)));
  }
  auto parsed = base::json::ParseValue(body);
  if (!parsed) {
    return std::unexpected(
        Refusal{400, kParseError, "the body is not JSON: " + parsed.error().message(), nullptr});
  }
  if (!parsed->is_object()) {
    return std::unexpected(Invalid("the body must be one JSON-RPC 2.0 request, an object"));
  }
  Object& object = parsed->get_object();
  const Value* id = object.if_contains("id");
  Request request{.id = id == nullptr ? Value(nullptr) : *id, .method = nullptr, .params = {}};
  if (request.id.is_structured() || request.id.is_bool()) {
    return std::unexpected(Invalid("id: must be a number or a string"));
  }
  if (TextOf(object, "jsonrpc") != "2.0") {
    return std::unexpected(Invalid("jsonrpc: must be \"2.0\"", request.id));
  }
  const std::string_view name = TextOf(object, "method");
  if (name.empty()) {
    return std::unexpected(Invalid("method: must be the name of a method", request.id));
  }
  request.method = FindMethod(name);
  if (request.method == nullptr) {
    return std::unexpected(
        Refusal{404, kMethodNotFound,
                fmt::format("there is no method {} (GET /api/v1/openapi.json lists them)",
                            base::EscapeForTerminal(name.substr(0, 128))),
                request.id});
  }
  Value* params = object.if_contains("params");
  request.params = params == nullptr || params->is_null() ? Value(Object()) : std::move(*params);
  return request;
}

Value ResponseOf(const Value& id, Value result) {
  return Object{{"jsonrpc", "2.0"}, {"result", std::move(result)}, {"id", id}};
}

Value ResponseOf(const Refusal& refusal) {
  return Object{{"jsonrpc", "2.0"},
                {"error", Object{{"code", refusal.code}, {"message", refusal.message}}},
                {"id", refusal.id}};
}

Value ResponseOf(const Value& id, const ApiError& error) {
  return Object{{"jsonrpc", "2.0"},
                {"error", Object{{"code", error.code}, {"message", error.message}}},
                {"id", id}};
}

std::string SandboxOf(const Value& params, std::string_view own_namespace) {
  if (!params.is_object()) return {};
  const std::string_view name = TextOf(params.get_object(), "sandbox");
  if (name.empty()) return {};
  const std::string_view name_space = TextOf(params.get_object(), "namespace");
  constexpr size_t kMostShown = 63;
  return fmt::format("{}/{}",
                     (name_space.empty() ? own_namespace : name_space).substr(0, kMostShown),
                     name.substr(0, kMostShown));
}

}  // namespace msb::server::rpc
