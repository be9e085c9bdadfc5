// Params: what a caller gives to a method or a tool, decoded into its described struct.
//
// A member that is null is as if it were absent, unless it is required: what writes every member of
// its own struct, as many clients do, has no other way to leave one out. An absent namespace is the
// caller's own. Only of what callers give: protocols between our own programs take base/json.h as
// it is. Pure functions; errors as Decode's.
#pragma once

#include <boost/describe.hpp>
#include <boost/mp11.hpp>

#include <string>
#include <string_view>
#include <type_traits>

#include "src/base/json.h"
#include "src/server/schema.h"

namespace msb::server {

namespace internal {

// What a member holds, if it holds something.
template <typename T>
struct Held {
  using Type = T;
};
template <typename T>
struct Held<std::optional<T>> {
  using Type = T;
};

template <base::json::Described T>
void LeaveOutNulls(Object& object) {
  boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
      [&](auto member) {
        using Field = std::remove_cvref_t<decltype(std::declval<T&>().*member.pointer)>;
        using Inner = typename Held<Field>::Type;
        const std::string_view name = MemberName(member.name);
        Value* const value = object.if_contains(name);
        if (value == nullptr) return;
        if (value->is_null()) {
          if (!IsRequired<T>(member.name)) object.erase(name);
        } else if constexpr (base::json::Described<Inner>) {
          if (value->is_object()) LeaveOutNulls<Inner>(value->get_object());
        }
      });
}

// Its members are named before anything of them is looked at.
template <base::json::Described T>
base::Status CheckRequired(const Object& object, const std::string& path) {
  if constexpr (requires { T::kRequired; }) {
    for (const std::string_view name : T::kRequired) {
      if (object.contains(name)) continue;
      return base::Fail(base::ErrorCode::kInvalid, "{}{}{}: is required", path,
                        path.empty() ? "" : ".", name);
    }
  }
  return {};
}

}  // namespace internal

// `path`: what errors call the whole. `own_namespace`: Caller::OwnNamespace.
template <base::json::Described T>
base::Result<T> ReadParams(base::json::Value value, const std::string& path,
                           base::json::Mode mode = base::json::Mode::kLenient,
                           std::string_view own_namespace = "default") {
  if (value.is_object()) {
    internal::LeaveOutNulls<T>(value.get_object());
    TRY(internal::CheckRequired<T>(value.get_object(), path));
    if constexpr (requires(const T& params) { params.namespace_; }) {
      value.get_object().emplace("namespace", own_namespace);  // unless it is there
    }
  }
  return base::json::Decode<T>(value, path, mode);
}

}  // namespace msb::server
