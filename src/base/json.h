// JSON codec over Boost.JSON and Boost.Describe: a described struct is its own schema.
//
//   struct Exec { std::vector<Bytes> argv; std::optional<Bytes> cwd; uint32_t credit = 0; };
//   BOOST_DESCRIBE_STRUCT(Exec, (), (argv, cwd, credit))
//   Result<Exec> exec = json::Parse<Exec>(text);     std::string text = json::Write(exec);
//
// Decoding: a key that is absent keeps the member's default, unless the type lists it in
// `static constexpr auto kRequired = std::to_array<std::string_view>({"argv"})`; unknown keys are
// ignored (protocols grow) unless Mode::kStrict. A std::optional is absent or null when empty, and
// is not written then. Enums are described (BOOST_DESCRIBE_ENUM); names travel without their
// leading 'k', in snake_case (kDropOldest: "drop_oldest"). Errors are kInvalid and begin with the
// path of the offending value ("argv[2]: expected a string"). Integers are range-checked, never
// rounded. A member that would be a keyword ends in an underscore, which does not travel
// (namespace_: "namespace").
#pragma once

#include <boost/describe.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <boost/mp11.hpp>

#include <concepts>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/result.h"

namespace msb::base::json {

using Value = boost::json::value;
using Object = boost::json::object;
using Array = boost::json::array;

enum class Mode { kLenient, kStrict };

// At most 32 levels deep; the whole text must be one value. Errors: kInvalid with the byte offset.
Result<Value> ParseValue(std::string_view text);
std::string WriteValue(const Value& value);
std::string WritePretty(const Value& value);  // two blanks an indent, for people and files

std::string EnumName(std::string_view enumerator);  // "kDropOldest" -> "drop_oldest"
Error ExpectedError(std::string_view path, std::string_view expected);

constexpr std::string_view MemberName(std::string_view member) {
  if (member.ends_with('_')) member.remove_suffix(1);
  return member;
}

template <typename T>
concept Described = boost::describe::has_describe_members<T>::value;
template <typename T>
concept DescribedEnum = boost::describe::has_describe_enumerators<T>::value;

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};
template <typename T>
struct IsMap : std::false_type {};
template <typename T>
struct IsMap<std::map<std::string, T>> : std::true_type {};

// A whole number as one: "600", not "6E2".
Value EncodeNumber(double number);
Result<Bytes> DecodeBytes(const Value& value, std::string_view path);
Value EncodeBytes(const Bytes& bytes);

template <typename T>
Result<T> Decode(const Value& value, const std::string& path = "", Mode mode = Mode::kLenient);

namespace internal {

template <Described T>
Result<T> DecodeStruct(const Value& value, const std::string& path, Mode mode) {
  if (!value.is_object()) return ExpectedError(path, "an object");
  const Object& object = value.get_object();
  const std::string prefix = path.empty() ? "" : path + ".";
  T out{};
  Status status;
  size_t known = 0;
  boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
      [&](auto member) {
        if (!status) return;
        const Value* field = object.if_contains(MemberName(member.name));
        if (field == nullptr) return;
        ++known;
        using Field = std::remove_cvref_t<decltype(out.*member.pointer)>;
        auto decoded = Decode<Field>(*field, prefix + std::string(MemberName(member.name)), mode);
        if (decoded) {
          out.*member.pointer = *std::move(decoded);
        } else {
          status = std::move(decoded).error();
        }
      });
  TRY(std::move(status));
  if constexpr (requires { T::kRequired; }) {
    for (const std::string_view name : T::kRequired) {
      if (!object.contains(name)) return ExpectedError(prefix + std::string(name), "a value");
    }
  }
  if (mode == Mode::kStrict && known != object.size()) {
    for (const auto& entry : object) {
      bool found = false;
      boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
          [&](auto member) { found = found || entry.key() == MemberName(member.name); });
      if (!found) {
        return Fail(ErrorCode::kInvalid, "{}{}: unknown key", prefix,
                    EscapeForTerminal(entry.key()));
      }
    }
  }
  return out;
}

template <std::integral T>
Result<T> DecodeInteger(const Value& value, const std::string& path) {
  constexpr T kMin = std::numeric_limits<T>::min();
  constexpr T kMax = std::numeric_limits<T>::max();
  const bool fits = (value.is_int64() && std::in_range<T>(value.get_int64())) ||
                    (value.is_uint64() && std::in_range<T>(value.get_uint64()));
  if (!fits) return ExpectedError(path, fmt::format("an integer from {} to {}", kMin, kMax));
  return value.is_int64() ? static_cast<T>(value.get_int64()) : static_cast<T>(value.get_uint64());
}

template <DescribedEnum T>
Result<T> DecodeEnum(const Value& value, const std::string& path) {
  std::optional<T> out;
  std::string names;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
    const std::string name = EnumName(enumerator.name);
    names += (names.empty() ? "" : ", ") + name;
    if (value.is_string() && value.get_string() == name) out = enumerator.value;
  });
  if (!out) return ExpectedError(path, "one of " + names);
  return *out;
}

}  // namespace internal

template <typename T>
Result<T> Decode(const Value& value, const std::string& path, Mode mode) {
  if constexpr (std::same_as<T, Value>) {
    return value;
  } else if constexpr (std::same_as<T, Object>) {
    if (!value.is_object()) return ExpectedError(path, "an object");
    return value.get_object();
  } else if constexpr (std::same_as<T, bool>) {
    if (!value.is_bool()) return ExpectedError(path, "true or false");
    return value.get_bool();
  } else if constexpr (DescribedEnum<T>) {
    return internal::DecodeEnum<T>(value, path);
  } else if constexpr (std::integral<T>) {
    return internal::DecodeInteger<T>(value, path);
  } else if constexpr (std::floating_point<T>) {
    if (!value.is_number()) return ExpectedError(path, "a number");
    return value.is_double()  ? static_cast<T>(value.get_double())
           : value.is_int64() ? static_cast<T>(value.get_int64())
                              : static_cast<T>(value.get_uint64());
  } else if constexpr (std::same_as<T, std::string>) {
    if (!value.is_string()) return ExpectedError(path, "a string");
    return std::string(value.get_string());
  } else if constexpr (std::same_as<T, Bytes>) {
    return DecodeBytes(value, path);
  } else if constexpr (IsOptional<T>::value) {
    if (value.is_null()) return T();
    return T(TRY(Decode<typename T::value_type>(value, path, mode)));
  } else if constexpr (IsVector<T>::value) {
    if (!value.is_array()) return ExpectedError(path, "an array");
    T out;
    out.reserve(value.get_array().size());
    for (const Value& element : value.get_array()) {
      out.push_back(TRY(
          Decode<typename T::value_type>(element, fmt::format("{}[{}]", path, out.size()), mode)));
    }
    return out;
  } else if constexpr (IsMap<T>::value) {
    if (!value.is_object()) return ExpectedError(path, "an object");
    T out;
    for (const auto& entry : value.get_object()) {
      const std::string key(entry.key());
      const std::string shown = EscapeForTerminal(key);  // the path may be printed
      out.emplace(key, TRY(Decode<typename T::mapped_type>(
                           entry.value(), path.empty() ? shown : path + "." + shown, mode)));
    }
    return out;
  } else {
    static_assert(Described<T>, "describe the type with BOOST_DESCRIBE_STRUCT");
    return internal::DecodeStruct<T>(value, path, mode);
  }
}

template <typename T>
Value Encode(const T& in) {
  if constexpr (std::same_as<T, Value>) {
    return in;
  } else if constexpr (std::same_as<T, Bytes>) {
    return EncodeBytes(in);
  } else if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
    return Value(std::string_view(in));
  } else if constexpr (DescribedEnum<T>) {
    std::string name;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
      if (enumerator.value == in) name = EnumName(enumerator.name);
    });
    return Value(std::string_view(name));
  } else if constexpr (std::floating_point<T>) {
    return EncodeNumber(in);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return Value(in);
  } else if constexpr (IsOptional<T>::value) {
    return in ? Encode(*in) : Value(nullptr);
  } else if constexpr (IsVector<T>::value) {
    Array array;
    array.reserve(in.size());
    for (const auto& element : in) array.push_back(Encode(element));
    return array;
  } else if constexpr (IsMap<T>::value) {
    Object object;
    for (const auto& [key, element] : in) object[key] = Encode(element);
    return object;
  } else if constexpr (std::same_as<T, Object>) {
    return in;
  } else {
    static_assert(Described<T>, "describe the type with BOOST_DESCRIBE_STRUCT");
    Object object;
    boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
        [&](auto member) {
          const auto& field = in.*member.pointer;
          if constexpr (IsOptional<std::remove_cvref_t<decltype(field)>>::value) {
            if (!field) return;
          }
          object[MemberName(member.name)] = Encode(field);
        });
    return object;
  }
}

template <typename T>
Result<T> Parse(std::string_view text, Mode mode = Mode::kLenient) {
  return Decode<T>(TRY(ParseValue(text)), "", mode);
}

template <typename T>
std::string Write(const T& in) {
  return WriteValue(Encode(in));
}

}  // namespace msb::base::json
