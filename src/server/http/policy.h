// Policy: which requests a server that listens on a user's own machine may answer at all. Pure.
//
// Any web page that the user looks at can make the browser send requests here. Against that: the
// Host must be a name that only this machine has (a page of evil.example that rebinds its name to
// 127.0.0.1 sends Host: evil.example), a foreign Origin is refused on every path, and what has
// effects wants a method and a content type that a page cannot send without asking first (a
// preflight, which only the origins of --cors-origin pass). spec/server.md, "HTTP".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/server/http/exchange.h"
#include "src/server/http/refusal.h"

namespace msb::server::http {

struct Policy {
  std::vector<std::string> host_names;    // --host-name, lower case
  std::vector<std::string> cors_origins;  // --cors-origin, as ParseOrigin gave them
};

// kInvalid unless it is a name or an address, without a port. In lower case.
base::Result<std::string> ParseHostName(std::string_view text);
// SCHEME://HOST[:PORT], in lower case, without the scheme's own port. kInvalid otherwise.
base::Result<std::string> ParseOrigin(std::string_view text);

// `local_address`: where the connection arrived, as text. A page can rebind a name, not an address.
Accepted<void> CheckHost(const Policy& policy, std::string_view host,
                         std::string_view local_address);
Accepted<void> CheckOrigin(const Policy& policy, const Request& request);

// The headers that let a page of an allowed origin read the answer; empty for any other.
Headers CorsHeaders(const Policy& policy, const Request& request);
// An allowed page asks what it may send.
bool IsPreflight(const Policy& policy, const Request& request);
Headers PreflightHeaders(const Request& request);

// A body that is JSON and says so, as no page can make it without a preflight.
Accepted<void> CheckJsonType(const Request& request);

}  // namespace msb::server::http
