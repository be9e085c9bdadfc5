// Schema: the JSON Schema (2020-12) of a described struct: for OpenAPI, and for the tools of MCP.
//
//   Object schema = SchemaOf<api::StartParams>({.direction = Direction::kInput});
//
// Taken from the struct: names and types of its members (base/json.h), their text from kDocs
// (api/doc.h: one for each member, checked when this is compiled), and what must be there. Input:
// what is in kRequired; the others have their defaults. Output: all but what is std::optional. A
// base::json::Value is any JSON. Pure functions.
#pragma once

#include <boost/core/type_name.hpp>
#include <boost/describe.hpp>
#include <boost/mp11.hpp>

#include <algorithm>
#include <concepts>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include "src/base/json.h"
#include "src/server/api/doc.h"

namespace msb::server {

enum class Direction { kInput, kOutput };

struct SchemaOptions {
  Direction direction = Direction::kInput;
  // Keys that are not described are not allowed ("additionalProperties": false).
  bool closed = false;
  // Structs (by SchemaName) are put here, and referred to as `reference` + name. Null: each is
  // written where it is used. A struct is used in one direction only.
  base::json::Object* definitions = nullptr;
  std::string_view reference = "#/components/schemas/";
};

template <typename T>
base::json::Object SchemaOf(const SchemaOptions& options);

// The struct's name, without its namespace: "StartParams".
template <base::json::Described T>
std::string SchemaName();

namespace internal {

using base::json::Array;
using base::json::MemberName;
using base::json::Object;
using base::json::Value;

inline constexpr std::string_view kNamespaceMember = "namespace_";

template <base::json::Described T>
constexpr std::string_view DocOf(std::string_view member) {
  for (const api::Doc& doc : T::kDocs) {
    if (doc.member == member) return doc.text;
  }
  return {};
}

template <base::json::Described T>
consteval bool EveryMemberHasADoc() {
  bool all = true;
  boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
      [&](auto member) { all = all && !DocOf<T>(member.name).empty(); });
  return all;
}

template <base::json::Described T>
constexpr bool IsRequired(std::string_view member) {
  if constexpr (requires { T::kRequired; }) {
    return std::ranges::find(T::kRequired, MemberName(member)) != T::kRequired.end();
  } else {
    return false;
  }
}

// A struct's schema while it is put together.
class StructSchema {
 public:
  explicit StructSchema(const SchemaOptions& options) : options_(options) {}
  // `fallback`: its default; null if there is none to tell.
  void Add(std::string_view name, Object schema, std::string_view doc, bool required,
           const Value& fallback);
  Object Take();

 private:
  const SchemaOptions& options_;
  Object properties_;
  Array required_;
};

std::string WithoutNamespace(std::string_view type_name);
Object Reference(const SchemaOptions& options, std::string_view name);

template <base::json::Described T>
Object SchemaOfStruct(const SchemaOptions& options) {
  static_assert(EveryMemberHasADoc<T>(), "a member of the struct is not in its kDocs");
  StructSchema schema(options);
  const T defaults{};
  boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
      [&](auto member) {
        using Field = std::remove_cvref_t<decltype(defaults.*member.pointer)>;
        const bool input = options.direction == Direction::kInput;
        const bool required =
            input ? IsRequired<T>(member.name) : !base::json::IsOptional<Field>::value;
        // That of a namespace is the caller's own (params.h): its text says so.
        const bool told = input && !required && member.name != kNamespaceMember;
        const Value fallback = told ? base::json::Encode(defaults.*member.pointer) : Value();
        schema.Add(MemberName(member.name), SchemaOf<Field>(options), DocOf<T>(member.name),
                   required, fallback);
      });
  return schema.Take();
}

template <base::json::Described T>
Object SchemaOrReference(const SchemaOptions& options) {
  if (options.definitions == nullptr) return SchemaOfStruct<T>(options);
  const std::string name = SchemaName<T>();
  if (!options.definitions->contains(name)) {
    Object schema = SchemaOfStruct<T>(options);  // puts what it refers to there first
    (*options.definitions)[name] = std::move(schema);
  }
  return Reference(options, name);
}

template <std::integral T>
Object SchemaOfInteger() {
  Object schema{{"type", "integer"}};
  if constexpr (sizeof(T) < sizeof(int64_t)) {
    schema["minimum"] = std::numeric_limits<T>::min();
    schema["maximum"] = std::numeric_limits<T>::max();
  } else if constexpr (std::unsigned_integral<T>) {
    schema["minimum"] = 0;
  }
  return schema;
}

template <base::json::DescribedEnum T>
Object SchemaOfEnum() {
  Array names;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
    names.push_back(Value(std::string_view(base::json::EnumName(enumerator.name))));
  });
  return {{"type", "string"}, {"enum", std::move(names)}};
}

}  // namespace internal

template <base::json::Described T>
std::string SchemaName() {
  return internal::WithoutNamespace(boost::core::type_name<T>());
}

template <typename T>
base::json::Object SchemaOf(const SchemaOptions& options) {
  namespace json = base::json;
  if constexpr (std::same_as<T, json::Value>) {
    return {};
  } else if constexpr (std::same_as<T, json::Object>) {
    return {{"type", "object"}};
  } else if constexpr (std::same_as<T, bool>) {
    return {{"type", "boolean"}};
  } else if constexpr (json::DescribedEnum<T>) {
    return internal::SchemaOfEnum<T>();
  } else if constexpr (std::integral<T>) {
    return internal::SchemaOfInteger<T>();
  } else if constexpr (std::floating_point<T>) {
    return {{"type", "number"}};
  } else if constexpr (std::same_as<T, std::string>) {
    return {{"type", "string"}};
  } else if constexpr (json::IsOptional<T>::value) {
    return SchemaOf<typename T::value_type>(options);
  } else if constexpr (json::IsVector<T>::value) {
    return {{"type", "array"}, {"items", SchemaOf<typename T::value_type>(options)}};
  } else if constexpr (json::IsMap<T>::value) {
    return {{"type", "object"},
            {"additionalProperties", SchemaOf<typename T::mapped_type>(options)}};
  } else {
    static_assert(json::Described<T>, "describe the type with BOOST_DESCRIBE_STRUCT");
    return internal::SchemaOrReference<T>(options);
  }
}

}  // namespace msb::server
