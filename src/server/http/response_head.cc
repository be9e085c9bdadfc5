#include "src/server/http/response_head.h"

#include <algorithm>

#include "src/base/bytes.h"
#include "src/base/json.h"
#include "src/server/http/head.h"

namespace msb::server::http {
namespace {

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Other";
  }
}

std::string Printable(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(
      out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '_');
  return out;
}

void Add(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

}  // namespace

std::string FormatHead(const ResponseHead& head, const Headers& headers) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", head.status, ReasonOf(head.status));
  if (!head.content_type.empty()) Add(out, "Content-Type", Printable(head.content_type));
  if (head.framing == BodyFraming::kLength) {
    Add(out, "Content-Length", fmt::format("{}", head.length));
  }
  if (head.framing == BodyFraming::kChunked) Add(out, "Transfer-Encoding", "chunked");
  if (!head.keep_alive) Add(out, "Connection", "close");
  if (head.keep_alive && head.http_1_0) Add(out, "Connection", "keep-alive");
  Add(out, "X-Request-Id", head.request_id);
  Add(out, "X-Content-Type-Options", "nosniff");
  bool cached = false;
  for (const auto& [name, value] : headers) {
    Add(out, Printable(name), Printable(value));
    cached = cached || ToLower(name) == "cache-control";
  }
  if (!cached) Add(out, "Cache-Control", "no-store");
  return out + "\r\n";
}

Response ErrorResponse(int status, int code, std::string_view message) {
  const std::string text =
      base::IsValidUtf8(message) ? std::string(message) : base::EscapeForTerminal(message);
  Response response;
  response.status = status;
  response.body = base::json::WriteValue(base::json::Object{{"error", text}, {"code", code}});
  return response;
}

Response RefusalResponse(const Refusal& refusal) {
  constexpr int kForbidden = 403;
  const int code = refusal.status == kForbidden ? kForbiddenCode : kRefusedCode;
  return ErrorResponse(refusal.status, code, refusal.message);
}

Response BodyErrorResponse(const base::Error& error) {
  const int status = error.code() == base::ErrorCode::kLimit     ? 413
                     : error.code() == base::ErrorCode::kBusy    ? 503
                     : error.code() == base::ErrorCode::kTimeout ? 408
                                                                 : 400;
  Response response = ErrorResponse(status, kRefusedCode, error.message());
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace msb::server::http
