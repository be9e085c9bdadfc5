#include "src/server/mcp/message.h"

#include <utility>

#include "src/server/json_size.h"

namespace msb::server::mcp {
namespace {

std::unexpected<Malformed> Refuse(Value id, int code, std::string message) {
  return std::unexpected(Malformed{std::move(id), {code, std::move(message)}});
}

bool IsId(const Value& value) {
  if (value.is_string()) return value.get_string().size() <= kMaxIdBytes;
  return value.is_int64() || value.is_uint64();
}

// The client's account of why it did not do what we asked for.
RpcError ReadError(const Value& value) {
  RpcError error{.code = kInternalError, .message = "the client gave no reason"};
  if (!value.is_object()) return error;
  const Object& object = value.get_object();
  if (const Value* message = object.if_contains("message"); message && message->is_string()) {
    error.message = std::string(message->get_string());
  }
  if (const Value* code = object.if_contains("code"); code && code->is_int64()) {
    if (std::in_range<int>(code->get_int64())) error.code = static_cast<int>(code->get_int64());
  }
  return error;
}

std::expected<Message, Malformed> ReadResponse(const Object& object, const Value& id) {
  const Value* result = object.if_contains("result");
  const Value* error = object.if_contains("error");
  if (id.is_null() || (result == nullptr) == (error == nullptr)) {
    return Refuse(nullptr, kInvalidRequest,
                  "a message needs a method, or an id with either a result or an error");
  }
  Message message{.kind = Message::Kind::kResponse, .id = id};
  if (result != nullptr) {
    message.outcome = *result;
  } else {
    message.outcome = std::unexpected(ReadError(*error));
  }
  return message;
}

std::string Write(Object message) {
  message["jsonrpc"] = "2.0";
  return base::json::WriteValue(message);
}

}  // namespace

std::expected<Message, Malformed> ReadMessage(const Value& value) {
  if (!value.is_object()) return Refuse(nullptr, kInvalidRequest, "a message is a JSON object");
  const Object& object = value.get_object();
  const Value* given_id = object.if_contains("id");
  if (given_id != nullptr && !IsId(*given_id)) {
    return Refuse(
        nullptr, kInvalidRequest,
        fmt::format("id: expected an integer, or a string of at most {} bytes", kMaxIdBytes));
  }
  const Value id = given_id == nullptr ? Value() : *given_id;
  const Value* version = object.if_contains("jsonrpc");
  if (version == nullptr || !version->is_string() || version->get_string() != "2.0") {
    return Refuse(id, kInvalidRequest, "jsonrpc: expected \"2.0\"");
  }
  const Value* method = object.if_contains("method");
  if (method == nullptr) return ReadResponse(object, id);
  if (!method->is_string()) return Refuse(id, kInvalidRequest, "method: expected a string");
  Message message{
      .kind = given_id == nullptr ? Message::Kind::kNotification : Message::Kind::kRequest,
      .id = id,
      .method = std::string(method->get_string())};
  if (const Value* params = object.if_contains("params"); params && !params->is_null()) {
    if (!params->is_object()) return Refuse(id, kInvalidParams, "params: expected an object");
    message.params = params->get_object();
  }
  return message;
}

std::expected<Incoming, Malformed> ReadIncoming(std::string_view text) {
  if (CountValues(text) > kMaxValues) {
    return Refuse(nullptr, kInvalidRequest,
                  fmt::format("the message has more than {} names and values", kMaxValues));
  }
  auto value = base::json::ParseValue(text);
  if (!value) return Refuse(nullptr, kParseError, value.error().message());
  Incoming incoming;
  if (!value->is_array()) {
    incoming.messages.push_back(ReadMessage(*value));
    return incoming;
  }
  incoming.batch = true;
  const Array& array = value->get_array();
  if (array.empty() || array.size() > kMaxBatch) {
    return Refuse(
        nullptr, kInvalidRequest,
        fmt::format("a batch has 1 to {} messages, this one has {}", kMaxBatch, array.size()));
  }
  for (const Value& element : array) incoming.messages.push_back(ReadMessage(element));
  return incoming;
}

std::string WriteResult(const Value& id, Value result) {
  return Write({{"id", id}, {"result", std::move(result)}});
}

std::string WriteError(const Value& id, const RpcError& error) {
  Object json{{"code", error.code}, {"message", Value(std::string_view(error.message))}};
  if (!error.data.is_null()) json["data"] = error.data;
  return Write({{"id", id}, {"error", std::move(json)}});
}

std::string WriteRequest(const Value& id, std::string_view method, Object params) {
  return Write({{"id", id}, {"method", Value(method)}, {"params", std::move(params)}});
}

std::string WriteNotification(std::string_view method, Object params) {
  return Write({{"method", Value(method)}, {"params", std::move(params)}});
}

}  // namespace msb::server::mcp
