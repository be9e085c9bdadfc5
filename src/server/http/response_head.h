// The head of a response, as bytes, and the answers that are not a handler's. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "src/base/result.h"
#include "src/server/http/exchange.h"
#include "src/server/http/refusal.h"

namespace msb::server::http {

inline constexpr int kRefusedCode = 2001;
inline constexpr int kForbiddenCode = 3001;  // with 403

enum class BodyFraming { kNone, kLength, kChunked, kUntilClose };

struct ResponseHead {
  int status = 200;
  std::string_view content_type;
  std::string_view request_id;
  BodyFraming framing = BodyFraming::kNone;
  uint64_t length = 0;
  bool keep_alive = true;
  bool http_1_0 = false;
};

// Control characters in `headers` are replaced: their values may be foreign.
std::string FormatHead(const ResponseHead& head, const Headers& headers);

// {"error": message, "code": code}
Response ErrorResponse(int status, int code, std::string_view message);
Response RefusalResponse(const Refusal& refusal);
// For what ReadBody and ReadSome fail with: 413, 503, 408, 400.
Response BodyErrorResponse(const base::Error& error);

}  // namespace msb::server::http
