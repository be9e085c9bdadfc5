// Message: JSON-RPC 2.0 as MCP uses it, without transport. Values; pure functions.
//
// What arrives is a client's: any JSON. An id is a string or an integer; a null one is refused, as
// the Model Context Protocol demands.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/json.h"

namespace msb::server::mcp {

using base::json::Array;
using base::json::Object;
using base::json::Value;

enum RpcCode : int {
  kParseError = -32700,
  kInvalidRequest = -32600,
  kMethodNotFound = -32601,
  kInvalidParams = -32602,
  kInternalError = -32603,
  kHeaderMismatch = -32020,      // 2026-07-28
  kUnsupportedVersion = -32022,  // 2026-07-28
  kServerError = -32000,         // of the transport: session, headers
  kResourceNotFound = -32002,    // MCP, server/resources
};

struct RpcError {
  int code = kInternalError;
  std::string message;
  Value data = {};  // null: none
};

struct Message {
  enum class Kind { kRequest, kNotification, kResponse };
  Kind kind = Kind::kNotification;
  Value id = {};                                // of requests and responses
  std::string method = {};                      // of requests and notifications
  Object params = {};                           // of these; empty if there were none
  std::expected<Value, RpcError> outcome = {};  // of responses
};

// What is no message, and how it is answered.
struct Malformed {
  Value id;  // null if it cannot be told
  RpcError error;
};

std::expected<Message, Malformed> ReadMessage(const Value& value);

// What one body, or one line, holds.
struct Incoming {
  bool batch = false;
  std::vector<std::expected<Message, Malformed>> messages;  // one, if it is no batch
};
// More than kMaxBatch messages, or none, are malformed as a whole.
inline constexpr size_t kMaxBatch = 64;
inline constexpr size_t kMaxIdBytes = 256;  // also of progress tokens
std::expected<Incoming, Malformed> ReadIncoming(std::string_view text);

std::string WriteResult(const Value& id, Value result);
std::string WriteError(const Value& id, const RpcError& error);
std::string WriteRequest(const Value& id, std::string_view method, Object params);
std::string WriteNotification(std::string_view method, Object params);

}  // namespace msb::server::mcp
