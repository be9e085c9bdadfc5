#include "src/server/rpc/openapi.h"

#include "src/server/errors.h"
#include "src/server/rpc/methods.h"

namespace msb::server::rpc {
namespace {

using base::json::Array;
using base::json::Object;
using base::json::Value;

Object Const(std::string_view value) { return {{"const", value}}; }
Object Reference(std::string_view name) {
  return {{"$ref", fmt::format("#/components/schemas/{}", name)}};
}
Object Json(Object schema) { return {{"application/json", Object{{"schema", std::move(schema)}}}}; }
Object Described(std::string_view description, Object content) {
  return {{"description", description}, {"content", std::move(content)}};
}

// "sandbox.repl.run" -> "sandbox.repl.run.request"
std::string RequestName(const Method& method) { return fmt::format("{}.request", method.name); }
std::string ResponseName(const Method& method) { return fmt::format("{}.response", method.name); }

Object IdSchema() { return {{"type", Array{"string", "number", "null"}}}; }

Object RequestSchema(const Method& method, Object& definitions) {
  const SchemaOptions options{.direction = Direction::kInput, .definitions = &definitions};
  return {{"type", "object"},
          {"description", method.summary},
          {"properties", Object{{"jsonrpc", Const("2.0")},
                                {"method", Const(method.name)},
                                {"params", method.params_schema(options)},
                                {"id", IdSchema()}}},
          {"required", Array{"jsonrpc", "method", "params"}}};
}

Object ResponseSchema(const Method& method, Object& definitions) {
  const SchemaOptions options{.direction = Direction::kOutput, .definitions = &definitions};
  return {{"type", "object"},
          {"properties", Object{{"jsonrpc", Const("2.0")},
                                {"result", method.result_schema(options)},
                                {"id", IdSchema()}}},
          {"required", Array{"jsonrpc", "result", "id"}}};
}

Object ErrorResponse(std::string_view description) {
  return Described(description, Json(Reference("ErrorBody")));
}

Object ErrorBodySchema() {
  return {{"type", "object"},
          {"properties",
           Object{{"error",
                   Object{{"type", "string"}, {"description", "What is wrong, and what to do"}}},
                  {"code", Object{{"type", "integer"},
                                  {"description",
                                   "2001 wrong or unsupported input; 1001 no key; 1004 a key that "
                                   "is not valid; 3001 not allowed; 3002 a limit; 4001 unknown; "
                                   "4002 exists; 4003 in use; 5002 anything else"}}}}},
          {"required", Array{"error", "code"}}};
}

Object RpcErrorSchema() {
  return {{"type", "object"},
          {"properties",
           Object{{"jsonrpc", Const("2.0")},
                  {"error", Object{{"type", "object"},
                                   {"properties", Object{{"code", Object{{"type", "integer"}}},
                                                         {"message", Object{{"type", "string"}}}}},
                                   {"required", Array{"code", "message"}}}},
                  {"id", IdSchema()}}},
          {"required", Array{"jsonrpc", "error", "id"}}};
}

Object OneOf(std::string (*name)(const Method&)) {
  Array choices;
  for (const Method& method : Methods()) choices.push_back(Reference(name(method)));
  return {{"oneOf", std::move(choices)}};
}

Object RpcPath() {
  Object success = Json(OneOf(&ResponseName));
  const std::string events =
      fmt::format("Events of the methods that stream ({}), then response, or error",
                  fmt::join(kEventNames, ", "));
  success["text/event-stream"] =
      Object{{"schema", Object{{"type", "string"}, {"description", events}}}};
  Object invalid = Json(Object{{"oneOf", Array{Reference("RpcError"), Reference("ErrorBody")}}});
  return {
      {"post",
       Object{{"operationId", "rpc"},
              {"summary", "One JSON-RPC 2.0 request"},
              {"requestBody", Object{{"required", true}, {"content", Json(OneOf(&RequestName))}}},
              {"responses",
               Object{{"200", Described("The result", std::move(success))},
                      {"400", Described("The request is wrong", invalid)},
                      {"401", ErrorResponse("No key, or one that is not valid")},
                      {"403", ErrorResponse("The key does not allow it")},
                      {"404", Described("No such method, sandbox, or other thing", invalid)},
                      {"409", ErrorResponse("The name is taken, or the thing is in use")},
                      {"429", ErrorResponse("A limit of the key")},
                      {"500", ErrorResponse("Anything else")}}}}}};
}

Object Parameter(std::string_view name, std::string_view description, bool required) {
  return {{"name", name},
          {"in", "query"},
          {"required", required},
          {"description", description},
          {"schema", Object{{"type", "string"}}}};
}

Array FileParameters() {
  return {Parameter("sandbox", "Name of the sandbox", true),
          Parameter("namespace", std::string(api::kNamespaceDoc.text), false),
          Parameter("path", "Absolute path in the sandbox", true),
          Parameter("user", "Whose rights are used; default the sandbox's user", false)};
}

Object Bytes() {
  return {{"application/octet-stream", Object{{"schema", Object{{"type", "string"}}}}}};
}

Object FilesPath() {
  Array put = FileParameters();
  put.push_back(Parameter("mode", "Permission bits of a new file, in octal; default 644", false));
  put.push_back(Parameter("parents", "true (default): make directories that are missing", false));
  const Object not_found = ErrorResponse("There is no such sandbox or file");
  return {
      {"get", Object{{"operationId", "downloadFile"},
                     {"summary", "A file of any size; ranges of bytes (Range) are understood"},
                     {"parameters", FileParameters()},
                     {"responses", Object{{"200", Described("The file", Bytes())},
                                          {"206", Described("A range of it", Bytes())},
                                          {"404", not_found},
                                          {"416", ErrorResponse("The range is beyond its end")}}}}},
      {"put",
       Object{
           {"operationId", "uploadFile"},
           {"summary", "Writes a file of any size; one that is new appears when it is whole"},
           {"parameters", std::move(put)},
           {"requestBody", Object{{"required", true}, {"content", Bytes()}}},
           {"responses", Object{{"200", Described("It was written", Json(Reference("FileInfo")))},
                                {"404", not_found}}}}}};
}

Object GetPath(std::string_view id, std::string_view summary, std::string_view type) {
  Object content{
      {type,
       Object{{"schema", Object{{"type", type == "application/json" ? "object" : "string"}}}}}};
  return {{"get", Object{{"operationId", id},
                         {"summary", summary},
                         {"responses", Object{{"200", Described(summary, std::move(content))}}}}}};
}

Object WebSocketPath() {
  return {{"get",
           Object{{"operationId", "webSocket"},
                  {"summary",
                   "JSON-RPC over a WebSocket: the same requests, any number at once; events come "
                   "as notifications sandbox.event with {id, event, data}"},
                  {"responses", Object{{"101", Object{{"description", "The WebSocket is open"}}},
                                       {"400", ErrorResponse("Not a WebSocket handshake")}}}}}};
}

template <typename... Events>
void DescribeEvents(Object& definitions, std::type_identity<std::variant<Events...>>) {
  const SchemaOptions options{.direction = Direction::kOutput, .definitions = &definitions};
  (SchemaOf<Events>(options), ...);
}

Object Schemas() {
  Object definitions;
  for (const Method& method : Methods()) {
    Object request = RequestSchema(method, definitions);
    Object response = ResponseSchema(method, definitions);
    definitions[RequestName(method)] = std::move(request);
    definitions[ResponseName(method)] = std::move(response);
  }
  DescribeEvents(definitions, std::type_identity<StreamEvent>());
  definitions["ErrorBody"] = ErrorBodySchema();
  definitions["RpcError"] = RpcErrorSchema();
  return definitions;
}

}  // namespace

Object OpenApi() {
  return {
      {"openapi", "3.1.0"},
      {"info", Object{{"title", "microsandbox"},
                      {"version", MSB_VERSION},
                      {"description",
                       "Run code that you do not trust in sandboxes with a kernel of their own"}}},
      {"paths",
       Object{
           {"/api/v1/rpc", RpcPath()},
           {"/api/v1/ws", WebSocketPath()},
           {"/api/v1/files", FilesPath()},
           {"/api/v1/health", GetPath("health", "Whether the server is up", "application/json")},
           {"/api/v1/openapi.json", GetPath("openapi", "This description", "application/json")},
           {"/metrics", GetPath("metrics", "Metrics in Prometheus' text format", "text/plain")}}},
      {"components", Object{{"schemas", Schemas()},
                            {"securitySchemes",
                             Object{{"key", Object{{"type", "http"}, {"scheme", "bearer"}}}}}}},
      {"security", Array{Object{{"key", Array{}}}}}};
}

}  // namespace msb::server::rpc
