#include "src/base/json.h"

#include <gtest/gtest.h>

#include <array>

namespace msb::base::json {
namespace {

enum class Policy { kBlock, kDropOldest };
BOOST_DESCRIBE_ENUM(Policy, kBlock, kDropOldest)

struct Part {
  Bytes name;
  std::optional<uint16_t> port;
};
BOOST_DESCRIBE_STRUCT(Part, (), (name, port))

struct Whole {
  std::string id;
  std::vector<Part> parts;
  std::map<std::string, int32_t> counts;
  Policy policy = Policy::kBlock;
  bool on = true;
  static constexpr auto kRequired = std::to_array<std::string_view>({"id"});
};
BOOST_DESCRIBE_STRUCT(Whole, (), (id, parts, counts, policy, on))

struct Place {
  std::string namespace_;
};
BOOST_DESCRIBE_STRUCT(Place, (), (namespace_))

std::string ErrorOf(std::string_view text, Mode mode = Mode::kLenient) {
  const auto parsed = Parse<Whole>(text, mode);
  return parsed ? "(accepted)" : parsed.error().message();
}

TEST(JsonTest, AMemberNamedAfterAKeywordTravelsWithoutItsUnderscore) {
  EXPECT_EQ(Write(Place{"x"}), R"({"namespace":"x"})");
  EXPECT_EQ(Parse<Place>(R"({"namespace":"y"})", Mode::kStrict)->namespace_, "y");
  EXPECT_EQ(Parse<Place>(R"({"namespace":1})").error().message(), "namespace: expected a string");
}

TEST(JsonTest, ADescribedStructRoundTrips) {
  Whole whole;
  whole.id = "x";
  whole.parts = {{"plain", 7}, {std::string("\xff\0", 2), std::nullopt}};
  whole.counts = {{"a", -1}};
  whole.policy = Policy::kDropOldest;
  const std::string text = Write(whole);
  EXPECT_EQ(text, R"({"id":"x","parts":[{"name":"plain","port":7},{"name":{"b":"/wA="}}],)"
                  R"("counts":{"a":-1},"policy":"drop_oldest","on":true})");
  const auto again = Parse<Whole>(text);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->parts[1].name.data, std::string("\xff\0", 2));
  EXPECT_EQ(Write(*again), text);
}

TEST(JsonTest, WhatATerminalWouldObeyIsEscapedAndComesBack) {
  const std::string text =
      "a\x7f\xc2\x9b"
      "31m\xc2\xa0\xe2\x80\xae\xe2\x81\xa6\xe2\x82\xac";
  const std::string written = WriteValue(Value(std::string_view(text)));
  EXPECT_EQ(written, "\"a\\u007f\\u009b31m\xc2\xa0\\u202e\\u2066\xe2\x82\xac\"");
  EXPECT_EQ(ParseValue(written)->as_string(), text);
  EXPECT_EQ(WritePretty(Object{{"\xc2\x9b", 1}}), "{\n  \"\\u009b\": 1\n}");
}

TEST(JsonTest, AbsentKeysKeepTheirDefaultsUnlessRequired) {
  const auto whole = Parse<Whole>(R"({"id":"x"})");
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->on);
  EXPECT_EQ(ErrorOf("{}"), "id: expected a value");
}

TEST(JsonTest, ErrorsNameThePath) {
  EXPECT_EQ(ErrorOf(R"({"id":"x","parts":[{"name":"a"},{"port":70000}]})"),
            "parts[1].port: expected an integer from 0 to 65535");
  EXPECT_EQ(ErrorOf(R"({"id":"x","parts":[{"name":{"b":"!"}}]})"),
            R"(parts[0].name: expected a string or {"b": base64})");
  EXPECT_EQ(ErrorOf(R"({"id":"x","counts":{"k":1.5}})"),
            "counts.k: expected an integer from -2147483648 to 2147483647");
  EXPECT_EQ(ErrorOf(R"({"id":"x","policy":"yes"})"), "policy: expected one of block, drop_oldest");
  EXPECT_EQ(ErrorOf(R"({"id":"x","counts":{"\u001b[2J":"z"}})").substr(0, 17),
            "counts.\\x1b[2J: e");
  EXPECT_EQ(ErrorOf("[]"), "value: expected an object");
}

TEST(JsonTest, UnknownKeysAreIgnoredUnlessStrict) {
  EXPECT_EQ(ErrorOf(R"({"id":"x","new":1})"), "(accepted)");
  EXPECT_EQ(ErrorOf(R"({"id":"x","parts":[{"nme":"a"}]})", Mode::kStrict),
            "parts[0].nme: unknown key");
}

TEST(JsonTest, MalformedTextIsAnErrorWithItsPlace) {
  for (const char* text : {"", "{", "{} x", "{\"a\":}", "nul", "\"\\ud800\""}) {
    EXPECT_TRUE(ErrorOf(text).starts_with("not JSON")) << text << ": " << ErrorOf(text);
  }
  EXPECT_TRUE(ErrorOf(std::string(40, '[')).starts_with("not JSON"));
}

TEST(JsonTest, ANumberThatIsTooLargeIsRefusedSinceItCouldNotBeWritten) {
  for (const char* text : {"1e309", "-1.44e5444444", "[0,{\"a\":[1e400]}]", "-0e544"}) {
    const auto value = ParseValue(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().message(), "a number is beyond what 64-bit floating point can hold");
  }
  EXPECT_EQ(*ParseValue("-1.7e308"), Value(-1.7e308));
  EXPECT_EQ(*ParseValue("1e-400"), Value(0.0));
}

TEST(JsonTest, PrettyTextIsTheSameValue) {
  Whole whole;
  whole.id = "x";
  whole.parts = {{"a", 1}};
  const Value value = Encode(whole);
  EXPECT_EQ(*ParseValue(WritePretty(value)), value);
}

}  // namespace
}  // namespace msb::base::json
