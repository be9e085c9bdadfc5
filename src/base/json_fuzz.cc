// Any bytes: parsing never crashes, and what parses is written and parsed again to the same value.
#include <boost/describe.hpp>

#include "src/base/json.h"

namespace {

enum class Kind { kOne, kTwoWords };
BOOST_DESCRIBE_ENUM(Kind, kOne, kTwoWords)
struct Inner {
  msb::base::Bytes bytes;
  std::optional<uint8_t> small;
};
BOOST_DESCRIBE_STRUCT(Inner, (), (bytes, small))
struct Outer {
  std::vector<Inner> list;
  std::map<std::string, int64_t> map;
  Kind kind = Kind::kOne;
  double number = 0;
};
BOOST_DESCRIBE_STRUCT(Outer, (), (list, map, kind, number))

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace json = msb::base::json;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto outer = json::Parse<Outer>(text, json::Mode::kStrict);
  if (!outer) return 0;
  outer->number = 0;  // Boost.JSON 1.81 reads some doubles one unit in the last place off
  const std::string written = json::Write(*outer);
  const auto again = json::Parse<Outer>(written, json::Mode::kStrict);
  CHECK(again.has_value() && json::Write(*again) == written);
  return 0;
}
