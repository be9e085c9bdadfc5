// Envelope: what each request of the stateless protocol (2026-07-28) says of itself, in its
// params._meta; there is no session that knows it. Pure functions on a client's JSON.
#pragma once

#include <expected>
#include <optional>
#include <string_view>

#include "src/server/mcp/features.h"
#include "src/server/mcp/message.h"

namespace msb::server::mcp {

struct Envelope {
  std::optional<Severity> least_severity = {};  // of the log messages it wants; absent: none
};

// Absent: the request has none, it belongs to a session. An error for one that is incomplete, or
// of a version that has none.
std::expected<std::optional<Envelope>, RpcError> ReadEnvelope(const Object& params);
bool HasEnvelope(const Object& params);

// What headers must repeat of a request, so that proxies need not read bodies: the method, and the
// name of the tool, the prompt, or the resource. Empty: it has no name.
std::string_view NameInHeader(const Message& request);
// A value of a header, which is "=?base64?…?=" if it is not plain ASCII. Absent: malformed.
std::optional<std::string> DecodeHeader(std::string_view value);

// Adds to a result what every one of the stateless protocol has: that it is complete, whose it is,
// and, of lists and resources, how long it may be kept.
void CompleteResult(std::string_view method, const Features& features, Object& result);
Object ServerInfo(const Features& features, bool title);

}  // namespace msb::server::mcp
