#include "src/server/mcp/envelope.h"

#include <utility>

#include "src/server/mcp/version.h"

namespace msb::server::mcp {
namespace {

constexpr std::string_view kVersionKey = "io.modelcontextprotocol/protocolVersion";
constexpr std::string_view kCapabilitiesKey = "io.modelcontextprotocol/clientCapabilities";
constexpr std::string_view kLogLevelKey = "io.modelcontextprotocol/logLevel";
constexpr std::string_view kServerInfoKey = "io.modelcontextprotocol/serverInfo";
constexpr int64_t kListsFreshMs = 300'000;  // what is offered changes with the product only

const Object* MetaOf(const Object& params) {
  const Value* meta = params.if_contains("_meta");
  return meta != nullptr && meta->is_object() ? &meta->get_object() : nullptr;
}

std::unexpected<RpcError> UnsupportedVersion(std::string_view requested) {
  Array supported;
  for (const std::string_view name : kVersionNames) supported.push_back(Value(name));
  return std::unexpected(RpcError{
      .code = kUnsupportedVersion,
      .message = fmt::format("{} is not a version for single requests; {} is",
                             base::EscapeForTerminal(requested), NameOf(Version::k2026_07_28)),
      .data = Object{{"supported", std::move(supported)}, {"requested", Value(requested)}}});
}

}  // namespace

bool HasEnvelope(const Object& params) {
  const Object* meta = MetaOf(params);
  return meta != nullptr && meta->contains(kVersionKey);
}

std::expected<std::optional<Envelope>, RpcError> ReadEnvelope(const Object& params) {
  if (!HasEnvelope(params)) return std::nullopt;
  const Object& meta = *MetaOf(params);
  const Value& version = meta.at(kVersionKey);
  if (!version.is_string()) {
    return std::unexpected(
        RpcError{kInvalidParams, fmt::format("params._meta.{}: expected a string", kVersionKey)});
  }
  if (version.get_string() != NameOf(Version::k2026_07_28)) {
    return UnsupportedVersion(version.get_string());
  }
  const Value* capabilities = meta.if_contains(kCapabilitiesKey);
  if (capabilities == nullptr || !capabilities->is_object()) {
    return std::unexpected(RpcError{
        kInvalidParams, fmt::format("params._meta.{}: expected an object", kCapabilitiesKey)});
  }
  Envelope envelope;
  if (const Value* level = meta.if_contains(kLogLevelKey)) {
    const auto severity = base::json::Decode<Severity>(*level, std::string(kLogLevelKey));
    if (!severity) return std::unexpected(RpcError{kInvalidParams, severity.error().message()});
    envelope.least_severity = *severity;
  }
  return envelope;
}

std::string_view NameInHeader(const Message& request) {
  const bool by_uri = request.method == "resources/read";
  if (!by_uri && request.method != "tools/call" && request.method != "prompts/get") return {};
  const Value* name = request.params.if_contains(by_uri ? "uri" : "name");
  if (name == nullptr || !name->is_string()) return {};
  return name->get_string();
}

std::optional<std::string> DecodeHeader(std::string_view value) {
  constexpr std::string_view kBegin = "=?base64?";
  constexpr std::string_view kEnd = "?=";
  if (!value.starts_with(kBegin) || !value.ends_with(kEnd)) return std::string(value);
  if (value.size() < kBegin.size() + kEnd.size()) return std::nullopt;
  value.remove_prefix(kBegin.size());
  value.remove_suffix(kEnd.size());
  return base::Base64Decode(value);
}

Object ServerInfo(const Features& features, bool title) {
  Object info{{"name", Value(std::string_view(features.name))},
              {"version", Value(std::string_view(features.version))}};
  if (title) info["title"] = Value(std::string_view(features.title));
  return info;
}

void CompleteResult(std::string_view method, const Features& features, Object& result) {
  result["resultType"] = "complete";
  result["_meta"] = Object{{kServerInfoKey, ServerInfo(features, true)}};
  const bool read = method == "resources/read";
  if (!read && !method.ends_with("/list") && method != "server/discover") return;
  result["ttlMs"] = read ? 0 : kListsFreshMs;
  result["cacheScope"] = "private";
}

}  // namespace msb::server::mcp
