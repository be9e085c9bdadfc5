#include "src/server/http/target.h"

#include <algorithm>

#include "src/base/bytes.h"

namespace msb::server::http {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum class Plus { kItself, kBlank };

Accepted<std::string> Decode(std::string_view text, Plus plus) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == Plus::kBlank) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return Refuse(400, "the target has a % that two hexadecimal digits do not follow");
      }
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  if (out.find('\0') != std::string::npos) return Refuse(400, "the target has a zero byte");
  if (!base::IsValidUtf8(out)) return Refuse(400, "the target is not UTF-8");
  return out;
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

Accepted<std::string> ParsePath(std::string_view text) {
  auto path = Decode(text, Plus::kItself);
  if (!path) return path;
  if (std::ranges::any_of(*path, IsControl)) {
    return Refuse(400, "the path has a control character");
  }
  if (std::ranges::count(*path, '/') != std::ranges::count(text, '/') ||
      path->find('\\') != std::string::npos) {
    return Refuse(400, "the path has an encoded slash or a backslash");
  }
  for (size_t begin = 1; begin <= path->size();) {
    const size_t end = std::min(path->find('/', begin), path->size());
    const std::string_view segment = std::string_view(*path).substr(begin, end - begin);
    if (segment == "." || segment == "..") {
      return Refuse(400, "the path has a segment that is \".\" or \"..\"");
    }
    begin = end + 1;
  }
  return path;
}

}  // namespace

Accepted<Target> ParseTarget(std::string_view text, const ConnectionLimits& limits) {
  if (!text.starts_with('/')) {
    return Refuse(400,
                  "the target must be a path that begins with /: this server is no proxy. If "
                  "HTTP_PROXY names it, unset that, or put its host into NO_PROXY");
  }
  if (text.find('#') != std::string_view::npos) {
    return Refuse(400, "the target has a fragment (#…), which is not for servers");
  }
  Target target;
  const size_t mark = text.find('?');
  auto path = ParsePath(text.substr(0, mark));
  if (!path) return std::unexpected(std::move(path).error());
  target.path = *std::move(path);
  if (mark == std::string_view::npos) return target;
  std::string_view rest = text.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    auto name = Decode(pair.substr(0, equals), Plus::kBlank);
    if (!name) return std::unexpected(std::move(name).error());
    auto value = Decode(pair.substr(std::min(equals + 1, pair.size())), Plus::kBlank);
    if (!value) return std::unexpected(std::move(value).error());
    if (target.query.size() == limits.fields) {
      return Refuse(414, "the query has more than {} parameters", limits.fields);
    }
    target.query.emplace(*std::move(name), *std::move(value));
  }
  return target;
}

}  // namespace msb::server::http
