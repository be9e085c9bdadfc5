#include "src/server/http/policy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "src/base/bytes.h"
#include "src/server/http/head.h"

namespace msb::server::http {
namespace {

using base::ErrorCode;
using base::Fail;

bool IsNameChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_';
}

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, IsNameChar);
}

// "[::1]" with its brackets.
bool IsBracketedIpv6(std::string_view text) {
  if (text.size() < 4 || text.front() != '[' || text.back() != ']') return false;
  in6_addr address;
  return ::inet_pton(AF_INET6, std::string(text.substr(1, text.size() - 2)).c_str(), &address) == 1;
}

bool IsLoopback(std::string_view host) {
  if (host == "localhost" || host == "[::1]") return true;
  in_addr address;
  if (::inet_pton(AF_INET, std::string(host).c_str(), &address) != 1) return false;
  return (ntohl(address.s_addr) >> 24) == 127;
}

struct Authority {
  std::string host;  // lower case, without a trailing dot; IPv6 in brackets
  std::string port;  // digits, or empty
};

std::optional<Authority> ParseAuthority(std::string_view text) {
  const size_t bracket = text.starts_with('[') ? text.find(']') : 0;
  if (bracket == std::string_view::npos) return std::nullopt;
  const size_t colon = text.find(':', bracket);
  Authority out;
  out.host = ToLower(text.substr(0, colon));
  if (out.host.ends_with('.')) out.host.pop_back();
  if (!IsName(out.host) && !IsBracketedIpv6(out.host)) return std::nullopt;
  if (colon == std::string_view::npos) return out;
  out.port = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(out.port.data(), out.port.data() + out.port.size(), port);
  const bool whole = error == std::errc() && end == out.port.data() + out.port.size();
  if (!whole || out.port.size() > 5) return std::nullopt;
  return out;
}

std::string WithoutDefaultPort(const Authority& authority, std::string_view scheme) {
  const std::string_view own = scheme == "https" ? "443" : "80";
  if (authority.port.empty() || authority.port == own) return authority.host;
  return authority.host + ":" + authority.port;
}

bool Contains(const std::vector<std::string>& list, std::string_view text) {
  return std::ranges::find(list, text) != list.end();
}

bool IsAllowed(const Policy& policy, std::string_view origin) {
  const auto parsed = ParseOrigin(origin);
  return parsed && Contains(policy.cors_origins, *parsed);
}

// A page of this server itself: its origin is the address that it calls, whatever the scheme
// (there may be a proxy in front that speaks TLS).
bool IsOwn(std::string_view origin, std::string_view host) {
  const auto parsed = ParseOrigin(origin);
  const auto authority = ParseAuthority(host);
  if (!parsed || !authority) return false;
  const std::string_view scheme = std::string_view(*parsed).substr(0, parsed->find(':'));
  if (scheme != "http" && scheme != "https") return false;
  return *parsed == fmt::format("{}://{}", scheme, WithoutDefaultPort(*authority, scheme));
}

size_t CountOf(const Request& request, std::string_view name) {
  return static_cast<size_t>(std::ranges::count_if(
      request.headers, [&](const auto& field) { return field.first == name; }));
}

}  // namespace

base::Result<std::string> ParseHostName(std::string_view text) {
  const auto authority = ParseAuthority(text);
  if (!authority || !authority->port.empty()) {
    return Fail(ErrorCode::kInvalid,
                "\"{}\" is not a host name: it must be a name or an address, without a port", text);
  }
  return authority->host;
}

base::Result<std::string> ParseOrigin(std::string_view text) {
  const size_t colon = text.find("://");
  const std::string scheme = ToLower(text.substr(0, std::min(colon, text.size())));
  const bool named = !scheme.empty() &&
                     std::ranges::all_of(scheme, [](char c) { return IsNameChar(c) || c == '+'; });
  const auto authority = colon == std::string_view::npos || !named
                             ? std::nullopt
                             : ParseAuthority(text.substr(colon + 3));
  if (!authority) {
    return Fail(ErrorCode::kInvalid,
                "\"{}\" is not an origin: it must be SCHEME://HOST or SCHEME://HOST:PORT, as "
                "http://localhost:3000",
                text);
  }
  return scheme + "://" + WithoutDefaultPort(*authority, scheme);
}

Accepted<void> CheckHost(const Policy& policy, std::string_view host,
                         std::string_view local_address) {
  const auto authority = ParseAuthority(host);
  if (!authority) return Refuse(400, "the Host field is not NAME or NAME:PORT");
  const bool is_local =
      authority->host == local_address || authority->host == fmt::format("[{}]", local_address);
  if (is_local || IsLoopback(authority->host) || Contains(policy.host_names, authority->host)) {
    return {};
  }
  return Refuse(403,
                "this server does not answer to the name {}: call it by localhost, or start it "
                "with --host-name {}",
                authority->host, authority->host);
}

Accepted<void> CheckOrigin(const Policy& policy, const Request& request) {
  if (CountOf(request, "origin") > 1) return Refuse(400, "there is more than one Origin field");
  if (CountOf(request, "origin") == 0) return {};
  const std::string_view origin = request.Header("origin");
  if (IsOwn(origin, request.Header("host")) || IsAllowed(policy, origin)) return {};
  return Refuse(403,
                "pages of {} may not call this server: to allow them start it with "
                "--cors-origin ORIGIN",
                ParseOrigin(origin).value_or("another origin"));
}

Headers CorsHeaders(const Policy& policy, const Request& request) {
  if (policy.cors_origins.empty()) return {};
  Headers headers = {{"Vary", "Origin"}};
  const std::string_view origin = request.Header("origin");
  if (origin.empty() || !IsAllowed(policy, origin)) return headers;
  headers.emplace_back("Access-Control-Allow-Origin", origin);
  headers.emplace_back("Access-Control-Expose-Headers", "Mcp-Session-Id, X-Request-Id");
  return headers;
}

bool IsPreflight(const Policy& policy, const Request& request) {
  return request.method == "OPTIONS" && IsAllowed(policy, request.Header("origin")) &&
         !request.Header("access-control-request-method").empty();
}

Headers PreflightHeaders(const Request& request) {
  Headers headers = {
      {"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE"},
      {"Access-Control-Allow-Headers",
       "Authorization, Proxy-Authorization, Content-Type, Accept, Range, Last-Event-ID, "
       "Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name"},
      {"Access-Control-Max-Age", "600"}};
  if (request.Header("access-control-request-private-network") == "true") {
    headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  }
  return headers;
}

Accepted<void> CheckJsonType(const Request& request) {
  // Some published clients say it twice.
  size_t said = 0, json = 0;
  for (const auto& [name, value] : request.headers) {
    if (name != "content-type") continue;
    const std::string_view type = value;
    ++said;
    if (ToLower(TrimBlanks(type.substr(0, type.find(';')))) == "application/json") ++json;
  }
  if (said > 0 && said == json) return {};
  return Refuse(415, "the body must be JSON: send it with Content-Type: application/json");
}

}  // namespace msb::server::http
