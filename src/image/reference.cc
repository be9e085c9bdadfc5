#include "src/image/reference.h"

#include <algorithm>

#include "src/base/bytes.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr std::string_view kDefaultRegistry = "docker.io";
constexpr std::string_view kDefaultNamespace = "library/";
constexpr std::string_view kDefaultTag = "latest";
constexpr std::string_view kSha256 = "sha256:";
constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDecimal(char c) { return c >= '0' && c <= '9'; }
bool IsLowerHex(char c) { return IsDecimal(c) || (c >= 'a' && c <= 'f'); }
bool IsHex(char c) { return IsLowerHex(c) || (c >= 'A' && c <= 'F'); }
bool IsAlphanumeric(char c) { return IsLower(c) || IsUpper(c) || IsDecimal(c); }

base::Error Bad(std::string_view text, std::string_view part, std::string_view value,
                std::string_view rule) {
  return Fail(ErrorCode::kInvalid, "image reference '{}': {} '{}' {}",
              base::EscapeForTerminal(text), part, base::EscapeForTerminal(value), rule);
}

// Calls `each` with the pieces between separators; false as soon as it returns false.
template <typename Each>
bool AllOf(std::string_view text, char separator, Each each) {
  for (size_t at = 0;;) {
    const size_t end = text.find(separator, at);
    if (!each(text.substr(at, end == std::string_view::npos ? end : end - at))) return false;
    if (end == std::string_view::npos) return true;
    at = end + 1;
  }
}

bool IsHostLabel(std::string_view label) {
  return !label.empty() && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return IsAlphanumeric(c) || c == '-'; });
}

bool IsHost(std::string_view host) {
  if (host.starts_with('[')) {
    return host.size() > 2 && host.ends_with(']') &&
           std::ranges::all_of(host.substr(1, host.size() - 2),
                               [](char c) { return IsHex(c) || c == ':'; });
  }
  return AllOf(host, '.', IsHostLabel);
}

bool IsRegistry(std::string_view registry) {
  const size_t colon = registry.rfind(':');
  const bool has_port = colon != std::string_view::npos && !registry.ends_with(']');
  if (!has_port) return IsHost(registry);
  const std::string_view port = registry.substr(colon + 1);
  return IsHost(registry.substr(0, colon)) && !port.empty() && std::ranges::all_of(port, IsDecimal);
}

// alphanumeric runs joined by one of "." "_" "__" "-"…
bool IsPathComponent(std::string_view component) {
  size_t at = 0;
  const auto run = [&] {
    const size_t start = at;
    while (at < component.size() && (IsLower(component[at]) || IsDecimal(component[at]))) ++at;
    return at > start;
  };
  if (!run()) return false;
  while (at < component.size()) {
    const size_t end = std::min(component.find_first_not_of("._-", at), component.size());
    const std::string_view separator = component.substr(at, end - at);
    const bool dashes = separator.find_first_not_of('-') == std::string_view::npos;
    if (separator != "." && separator != "_" && separator != "__" && !dashes) return false;
    at = end;
    if (!run()) return false;
  }
  return true;
}

bool IsTag(std::string_view tag) {
  return !tag.empty() && tag.size() <= kMaxTag && (IsAlphanumeric(tag.front()) || tag[0] == '_') &&
         std::ranges::all_of(
             tag, [](char c) { return IsAlphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

base::Status TakeDigest(std::string_view text, std::string_view& rest, Reference& out) {
  const size_t at = rest.find('@');
  if (at == std::string_view::npos) return {};
  const std::string_view digest = rest.substr(at + 1);
  rest = rest.substr(0, at);
  const size_t colon = digest.find(':');
  if (!digest.starts_with(kSha256) && colon != std::string_view::npos && colon > 0) {
    return Fail(ErrorCode::kUnsupported,
                "image reference '{}': digest algorithm '{}' (only sha256)",
                base::EscapeForTerminal(text), base::EscapeForTerminal(digest.substr(0, colon)));
  }
  if (!IsDigest(digest)) {
    return Bad(text, "digest", digest, "is not sha256: and 64 lower-case hexadecimal digits");
  }
  out.digest = digest;
  return {};
}

base::Status TakeTag(std::string_view text, std::string_view& rest, Reference& out) {
  const size_t slash = rest.rfind('/');
  const size_t colon = rest.rfind(':');
  out.tag = kDefaultTag;
  if (colon == std::string_view::npos || (slash != std::string_view::npos && colon < slash)) {
    return {};
  }
  const std::string_view tag = rest.substr(colon + 1);
  if (!IsTag(tag)) {
    return Bad(text, "tag", tag, "is not 1 to 128 letters, digits, '_', '.', '-' (not first: . -)");
  }
  rest = rest.substr(0, colon);
  out.tag = tag;
  return {};
}

// The first component is a registry if it could not be part of a path.
bool NamesRegistry(std::string_view first) {
  return first == "localhost" || first.find_first_of(".:[") != std::string_view::npos ||
         std::ranges::any_of(first, IsUpper);
}

base::Status SplitName(std::string_view text, std::string_view name, Reference& out) {
  const size_t slash = name.find('/');
  out.registry = kDefaultRegistry;
  if (slash != std::string_view::npos && NamesRegistry(name.substr(0, slash))) {
    out.registry = name.substr(0, slash);
    name = name.substr(slash + 1);
    if (!IsRegistry(out.registry)) {
      return Bad(text, "registry", out.registry, "is not a host name with an optional :port");
    }
    if (out.registry == "index.docker.io") out.registry = kDefaultRegistry;
  }
  if (name.size() == 64 && std::ranges::all_of(name, IsLowerHex)) {
    return Bad(text, "name", name, "looks like a digest: write sha256: before it");
  }
  const bool official =
      out.registry == kDefaultRegistry && name.find('/') == std::string_view::npos;
  out.path = official ? std::string(kDefaultNamespace).append(name) : std::string(name);
  return {};
}

base::Status CheckPath(std::string_view text, std::string_view path) {
  base::Status status;
  AllOf(path, '/', [&](std::string_view component) {
    if (IsPathComponent(component)) return true;
    status = std::ranges::any_of(component, IsUpper)
                 ? Bad(text, "path component", component, "has capital letters")
                 : Bad(text, "path component", component,
                       "is not lower-case letters and digits, joined by '.', '_', '__' or '-'");
    return false;
  });
  return status;
}

}  // namespace

std::string Reference::FullName() const {
  return digest.empty() ? TaggedName() : Repository() + "@" + digest;
}

std::string Reference::ShortName() const {
  std::string_view short_path = path;
  if (registry == kDefaultRegistry && path.starts_with(kDefaultNamespace)) {
    short_path.remove_prefix(kDefaultNamespace.size());
  }
  std::string rest;
  if (!digest.empty()) {
    rest = "@" + digest;
  } else if (tag != kDefaultTag) {
    rest = ":" + tag;
  }
  if (registry == kDefaultRegistry) {
    // Not what could be taken for something else, as docker.io/localhost/a would be.
    std::string name = std::string(short_path) + rest;
    const auto parsed = ParseReference(name);
    if (parsed && parsed->FullName() == FullName()) return name;
  }
  return Repository() + rest;
}

base::Result<Reference> ParseReference(std::string_view text) {
  if (text.empty()) return Fail(ErrorCode::kInvalid, "image reference is empty");
  Reference out;
  std::string_view rest = text;
  TRY(TakeDigest(text, rest, out));
  TRY(TakeTag(text, rest, out));
  if (rest.empty()) return Fail(ErrorCode::kInvalid, "image reference '{}': no name", text);
  TRY(SplitName(text, rest, out));
  TRY(CheckPath(text, out.path));
  if (rest == "sha256") {
    return Fail(ErrorCode::kInvalid, "image reference '{}': sha256 is no name, it begins a digest",
                text);
  }
  if (out.Repository().size() > kMaxName) {
    return Fail(ErrorCode::kInvalid, "image reference: the name is longer than {} characters",
                kMaxName);
  }
  return out;
}

bool IsDigest(std::string_view text) {
  return text.size() == kSha256.size() + 64 && text.starts_with(kSha256) &&
         std::ranges::all_of(text.substr(kSha256.size()), IsLowerHex);
}

std::string_view DigestHex(std::string_view digest) { return digest.substr(kSha256.size()); }

}  // namespace msb::image
