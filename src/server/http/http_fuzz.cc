// A head that is accepted has what handlers rely on, and its framing has one reading; a body's
// content does not depend on how its bytes come.
#include "src/base/bytes.h"
#include "src/server/http/chunked.h"
#include "src/server/http/head.h"
#include "src/server/http/policy.h"

namespace {

using namespace msb::server::http;

void CheckHead(const Head& head) {
  CHECK(head.request.path.starts_with('/'));
  CHECK(msb::base::IsValidUtf8(head.request.path));
  CHECK((head.request.path + "/").find("/../") == std::string::npos);
  CHECK(head.request.path.find('\0') == std::string::npos);
  CHECK(!(head.chunked && head.content_length));
  for (const auto& [name, value] : head.request.headers) {
    CHECK(IsToken(name));
    CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
  const Policy policy = {.host_names = {"a.example"}, .cors_origins = {"http://b.example"}};
  if (CheckHost(policy, head.request.Header("host"), "10.0.0.1")) {
    CHECK(CheckHost({}, head.request.Header("host"), "10.0.0.1") ||
          ToLower(head.request.Header("host")).starts_with("a.example"));
  }
  (void)CheckOrigin(policy, head.request);
  (void)CorsHeaders(policy, head.request);
  (void)CheckJsonType(head.request);
}

// The content, by pieces of this size; "!" at its end where it was refused.
std::string Decode(std::string_view bytes, size_t piece) {
  const ConnectionLimits limits;
  ChunkDecoder decoder(limits);
  std::string content;
  size_t at = 0, fed = 0;
  while (!decoder.done()) {
    const auto step = decoder.Decode(bytes.substr(at, fed - at), 1000);
    if (!step) return content + "!";
    content += step->content;
    at += step->consumed;
    if (step->consumed > 0 || decoder.done()) continue;
    if (fed == bytes.size()) break;
    fed = std::min(fed + piece, bytes.size());
  }
  return content;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ConnectionLimits limits;
  HeadScanner whole(limits), growing(limits);
  const auto end = whole.Scan(bytes);
  bool refused = false;
  for (size_t i = 0; i <= bytes.size() && !refused; ++i) {
    const auto found = growing.Scan(bytes.substr(0, i));
    refused = !found;
    if (found && *found) {
      CHECK(end && *end && **end == **found);
      break;
    }
  }
  CHECK(refused == !end);
  if (end && *end) {
    const auto head = ParseHead(bytes.substr(0, **end), limits);
    if (head) CheckHead(*head);
  }
  CHECK(Decode(bytes, 1) == Decode(bytes, bytes.size() + 1));
  return 0;
}
