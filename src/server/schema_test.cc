#include "src/server/schema.h"

#include <gtest/gtest.h>

#include "src/server/api/files.h"
#include "src/server/api/process.h"
#include "src/server/api/run.h"
#include "src/server/api/sandbox.h"

namespace msb::server {
namespace {

using base::json::Object;
using base::json::ParseValue;
using base::json::Value;

enum class Colour { kRed, kDarkBlue };
BOOST_DESCRIBE_ENUM(Colour, kRed, kDarkBlue)

struct Small {
  std::string namespace_ = "default";
  std::optional<double> seconds;
  std::vector<std::string> words;
  uint8_t few = 3;
  uint64_t many = 0;
  Colour colour = Colour::kDarkBlue;
  std::map<std::string, int32_t> counts;
  bool on = true;
  Value any;
  static constexpr auto kRequired = std::to_array<std::string_view>({"namespace", "many"});
  static constexpr auto kDocs = api::Docs({
      {"namespace_", "Where"},
      {"seconds", "How long"},
      {"words", "Some"},
      {"few", "Up to 255"},
      {"many", "No bound"},
      {"colour", "One of them"},
      {"counts", "By name"},
      {"on", "Or off"},
      {"any", "Number or null"},
  });
};
BOOST_DESCRIBE_STRUCT(Small, (), (namespace_, seconds, words, few, many, colour, counts, on, any))

struct Outer {
  std::vector<Small> list;
  std::optional<Small> one;
  static constexpr auto kDocs = api::Docs({{"list", "Several"}, {"one", "Or one"}});
};
BOOST_DESCRIBE_STRUCT(Outer, (), (list, one))

Value Json(std::string_view text) { return *ParseValue(text); }

TEST(SchemaTest, InputHasTypesTextsDefaultsAndWhatIsRequired) {
  EXPECT_EQ(Value(SchemaOf<Small>({.closed = true})), Json(R"({
    "type": "object",
    "properties": {
      "namespace": {"type": "string", "description": "Where"},
      "seconds": {"type": "number", "description": "How long"},
      "words": {"type": "array", "items": {"type": "string"}, "description": "Some"},
      "few": {"type": "integer", "minimum": 0, "maximum": 255, "description": "Up to 255",
              "default": 3},
      "many": {"type": "integer", "minimum": 0, "description": "No bound"},
      "colour": {"type": "string", "enum": ["red", "dark_blue"], "description": "One of them",
                 "default": "dark_blue"},
      "counts": {"type": "object",
                 "additionalProperties": {"type": "integer", "minimum": -2147483648,
                                          "maximum": 2147483647},
                 "description": "By name"},
      "on": {"type": "boolean", "description": "Or off", "default": true},
      "any": {"description": "Number or null"}
    },
    "required": ["namespace", "many"],
    "additionalProperties": false})"));
}

TEST(SchemaTest, OutputHasNoDefaultsAndRequiresAllThatIsAlwaysWritten) {
  const Object schema = SchemaOf<Small>({.direction = Direction::kOutput});
  EXPECT_EQ(schema.at("required"),
            Json(R"(["namespace","words","few","many","colour","counts","on","any"])"));
  EXPECT_FALSE(schema.at("properties").at("few").get_object().contains("default"));
  EXPECT_FALSE(schema.contains("additionalProperties"));
}

TEST(SchemaTest, StructsAreWrittenInPlaceOrReferredTo) {
  const Object inlined = SchemaOf<Outer>({});
  EXPECT_EQ(inlined.at("properties").at("list").at("items"), Value(SchemaOf<Small>({})));

  Object definitions;
  const Object reference = SchemaOf<Outer>({.definitions = &definitions, .reference = "#/$defs/"});
  EXPECT_EQ(Value(reference), Json(R"({"$ref":"#/$defs/Outer"})"));
  EXPECT_EQ(definitions.at("Small"), Value(SchemaOf<Small>({})));
  EXPECT_EQ(definitions.at("Outer").at("properties").at("one"),
            Json(R"({"$ref":"#/$defs/Small","description":"Or one"})"));
}

TEST(SchemaTest, EveryMessageOfTheApiHasOne) {
  EXPECT_EQ(SchemaName<api::StartParams>(), "StartParams");
  EXPECT_TRUE(SchemaOf<api::StartParams>({}).contains("properties"));
  EXPECT_TRUE(SchemaOf<api::ReplResult>({.direction = Direction::kOutput}).contains("required"));
  EXPECT_TRUE(SchemaOf<api::FileList>({.direction = Direction::kOutput}).contains("required"));
  EXPECT_EQ(Value(SchemaOf<api::Empty>({})), Json(R"({"type":"object","properties":{}})"));
}

}  // namespace
}  // namespace msb::server
