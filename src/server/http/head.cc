#include "src/server/http/head.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "src/server/http/target.h"

namespace msb::server::http {
namespace {

bool IsTokenChar(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// What a head consists of, line ends aside. Bytes beyond ASCII are allowed in field values only.
bool IsText(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

bool IsVisible(char c) { return c > 0x20 && c < 0x7f; }

std::string_view TakeLine(std::string_view& bytes) {
  const std::string_view line = bytes.substr(0, bytes.find("\r\n"));
  bytes.remove_prefix(std::min(bytes.size(), line.size() + 2));
  return line;
}

constexpr auto kMethods =
    std::to_array<std::string_view>({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"});

Accepted<void> ParseVersion(std::string_view text, Head& head) {
  const bool is_version = text.size() == 8 && text.starts_with("HTTP/") && text[6] == '.' &&
                          text[5] >= '0' && text[5] <= '9' && text[7] >= '0' && text[7] <= '9';
  if (!is_version) return Refuse(400, "the request line does not end in HTTP/1.1");
  if (text != "HTTP/1.1" && text != "HTTP/1.0") {
    return Refuse(505, "{} is not spoken here: use HTTP/1.1", text);
  }
  head.http_1_0 = text == "HTTP/1.0";
  head.keep_alive = !head.http_1_0;
  return {};
}

Accepted<void> ParseRequestLine(std::string_view line, const ConnectionLimits& limits, Head& head) {
  const size_t first = line.find(' ');
  const size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) {
    return Refuse(400, "the first line is not METHOD TARGET HTTP/1.1");
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (!IsToken(method)) return Refuse(400, "the method is not a word");
  if (auto version = ParseVersion(line.substr(second + 1), head); !version) return version;
  if (target.size() > limits.target_bytes) {
    return Refuse(414, "the target is longer than {} bytes", limits.target_bytes);
  }
  if (target.empty() || !std::ranges::all_of(target, IsVisible)) {
    return Refuse(400, "the target has blanks or bytes that must be percent-encoded");
  }
  if (std::ranges::find(kMethods, method) == kMethods.end()) {
    return Refuse(501, "this server knows no such method: use {}", fmt::join(kMethods, ", "));
  }
  auto parsed = ParseTarget(target, limits);
  if (!parsed) return std::unexpected(std::move(parsed).error());
  head.request.method = method;
  head.request.path = std::move(parsed->path);
  head.request.query = std::move(parsed->query);
  return {};
}

Accepted<void> ParseField(std::string_view line, const ConnectionLimits& limits, Head& head) {
  if (line.starts_with(' ') || line.starts_with('\t')) {
    return Refuse(400, "a header field goes on over a second line, which is not allowed any more");
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return Refuse(400, "a header line is not NAME: VALUE");
  }
  if (head.request.headers.size() == limits.fields) {
    return Refuse(431, "there are more than {} header fields", limits.fields);
  }
  head.request.headers.emplace_back(ToLower(line.substr(0, colon)),
                                    TrimBlanks(line.substr(colon + 1)));
  return {};
}

// The value of a field that may be there once; absent if it is not.
Accepted<std::optional<std::string_view>> Single(const Request& request, std::string_view name) {
  std::optional<std::string_view> value;
  for (const auto& [field, text] : request.headers) {
    if (field != name) continue;
    if (value) return Refuse(400, "there is more than one {} field", name);
    value = text;
  }
  return value;
}

Accepted<void> ParseTransferEncoding(std::string_view text, Head& head) {
  if (head.http_1_0) return Refuse(400, "Transfer-Encoding is not for HTTP/1.0");
  if (head.content_length) {
    return Refuse(400, "Content-Length and Transfer-Encoding contradict each other");
  }
  if (ToLower(text) != "chunked") {
    return Refuse(501, "the only Transfer-Encoding that is known here is chunked");
  }
  head.chunked = true;
  return {};
}

Accepted<void> ParseContentLength(std::string_view text, Head& head) {
  uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  const bool whole = !text.empty() && end == text.data() + text.size() && error == std::errc();
  if (!whole || length > INT64_MAX) return Refuse(400, "the Content-Length is not a number");
  head.content_length = length;
  return {};
}

Accepted<void> ParseFraming(Head& head) {
  const auto length = Single(head.request, "content-length");
  if (!length) return std::unexpected(length.error());
  if (*length) {
    if (auto parsed = ParseContentLength(**length, head); !parsed) return parsed;
  }
  const auto coding = Single(head.request, "transfer-encoding");
  if (!coding) return std::unexpected(coding.error());
  if (*coding) return ParseTransferEncoding(**coding, head);
  return {};
}

Accepted<void> ParseConnection(Head& head) {
  for (const auto& [name, value] : head.request.headers) {
    if (name != "connection") continue;
    if (HasToken(value, "keep-alive")) head.keep_alive = true;
    if (HasToken(value, "close")) head.keep_alive = false;
  }
  const auto expect = Single(head.request, "expect");
  if (!expect) return std::unexpected(expect.error());
  if (!*expect) return {};
  if (ToLower(**expect) != "100-continue") {
    return Refuse(417, "the only expectation that can be met here is 100-continue");
  }
  head.expects_continue = !head.http_1_0;
  return {};
}

}  // namespace

Accepted<std::optional<size_t>> HeadScanner::TooMuch() const {
  if (lines_ == 0) return Refuse(414, "the request line is longer than {} bytes", at_);
  return Refuse(431, "the header is longer than {} bytes", limits_->head_bytes);
}

Accepted<std::optional<size_t>> HeadScanner::Scan(std::string_view bytes) {
  for (; at_ < bytes.size(); ++at_) {
    if (at_ == limits_->head_bytes) return TooMuch();
    const char c = bytes[at_];
    if (c == '\n') {
      if (at_ == line_begin_ || bytes[at_ - 1] != '\r') {
        return Refuse(400, "a line ends in LF alone, not in CR LF");
      }
      const bool empty = at_ == line_begin_ + 1;
      if (empty && lines_ == 0) return Refuse(400, "the request begins with an empty line");
      if (empty) return at_ + 1;
      line_begin_ = at_ + 1;
      ++lines_;
    } else if (at_ > line_begin_ && bytes[at_ - 1] == '\r') {
      return Refuse(400, "there is a CR that no LF follows");
    } else if (c == 0x16 && at_ == 0) {
      return Refuse(400, "this looks like TLS, which is not spoken here: use http://");
    } else if (c != '\r' && !IsText(c)) {
      return Refuse(400, "there is a control character in the header");
    }
  }
  return std::nullopt;
}

Accepted<Head> ParseHead(std::string_view bytes, const ConnectionLimits& limits) {
  Head head;
  if (auto line = ParseRequestLine(TakeLine(bytes), limits, head); !line) {
    return std::unexpected(std::move(line).error());
  }
  for (std::string_view line = TakeLine(bytes); !line.empty(); line = TakeLine(bytes)) {
    if (auto field = ParseField(line, limits, head); !field) {
      return std::unexpected(std::move(field).error());
    }
  }
  const auto host = Single(head.request, "host");
  if (!host) return std::unexpected(host.error());
  if (!*host) return Refuse(400, "there is no Host field: a client must say whom it calls");
  for (const auto& step : {ParseFraming, ParseConnection}) {
    if (auto parsed = step(head); !parsed) return std::unexpected(std::move(parsed).error());
  }
  return head;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, IsTokenChar);
}

bool HasToken(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const std::string_view element = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), element.size() + 1));
    if (ToLower(TrimBlanks(element)) == token) return true;
  }
  return false;
}

std::string ToLower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view TrimBlanks(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string_view Request::Header(std::string_view name) const {
  for (const auto& [field, value] : headers) {
    if (field == name) return value;
  }
  return {};
}

std::optional<std::string> Request::Query(std::string_view name) const {
  const auto found = query.find(std::string(name));
  if (found == query.end()) return std::nullopt;
  return found->second;
}

}  // namespace msb::server::http
