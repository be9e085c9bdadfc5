// A request's head: where it ends, and what it says. RFC 9112, 2 to 7. Pure, fuzzed.
//
// One parser, strict, and no lenient one behind it: what was checked is what is used. Wherever the
// framing of a message could be read in two ways (request smuggling) it is refused and the
// connection closed: bare CR or LF, obs-fold, blanks before a colon, more than one Content-Length
// or Host, Content-Length beside Transfer-Encoding, any coding but chunked, any of that in 1.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "src/server/http/exchange.h"
#include "src/server/http/limits.h"
#include "src/server/http/refusal.h"

namespace msb::server::http {

// Finds the end of a head as its bytes come; refuses at the first that cannot belong to one.
class HeadScanner {
 public:
  explicit HeadScanner(const ConnectionLimits& limits) : limits_(&limits) {}
  // All bytes since the request's first, those seen before included. The head's size, its empty
  // line included, once that has come.
  Accepted<std::optional<size_t>> Scan(std::string_view bytes);

 private:
  Accepted<std::optional<size_t>> TooMuch() const;

  const ConnectionLimits* limits_;
  size_t at_ = 0;
  size_t line_begin_ = 0;
  size_t lines_ = 0;
};

struct Head {
  Request request;  // all but peer and id
  bool http_1_0 = false;
  std::optional<uint64_t> content_length;  // absent: no body, unless chunked
  bool chunked = false;
  bool keep_alive = true;         // as far as the client is concerned
  bool expects_continue = false;  // sends its body once it is told to
};

// Of a whole head, as HeadScanner found it.
Accepted<Head> ParseHead(std::string_view bytes, const ConnectionLimits& limits);

bool IsToken(std::string_view text);  // RFC 9110, 5.6.2; not empty
// Of a list of tokens such as Connection's, whatever its case.
bool HasToken(std::string_view list, std::string_view token);
std::string ToLower(std::string_view text);          // ASCII
std::string_view TrimBlanks(std::string_view text);  // blanks and tabs

}  // namespace msb::server::http
