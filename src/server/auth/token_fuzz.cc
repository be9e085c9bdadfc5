// No token but ours is accepted; claims survive a round trip.
#include "src/base/json.h"
#include "src/server/auth/token.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace msb::server;
  constexpr std::string_view kKey = "0123456789abcdef0123456789abcdef";
  constexpr int64_t kNow = 1'700'000'000;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto parsed = ParseToken(text, kKey, kNow);
  if (parsed) CHECK(parsed->exp > kNow && IsNamespaceClaim(parsed->namespace_));
  CHECK(!ParseToken(text, "another key, as long as the first", kNow));

  const auto claims = msb::base::json::Parse<Claims>(text);
  if (!claims) return 0;
  const auto again = ParseToken(MakeToken(*claims, kKey), kKey, kNow);
  if (claims->exp <= kNow || !IsNamespaceClaim(claims->namespace_)) CHECK(!again);
  if (again) CHECK(msb::base::json::Write(*again) == msb::base::json::Write(*claims));
  return 0;
}
