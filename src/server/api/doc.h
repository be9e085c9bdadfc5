// Doc: what each member of a described struct means: the text of OpenAPI and docs/api.md.
//
//   static constexpr auto kDocs = Docs({{"memory", "RAM in MiB; default 1024"}});
// A test checks that every member has one.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace msb::server::api {

struct Doc {
  std::string_view member;
  std::string_view text;
};

template <size_t n>
constexpr std::array<Doc, n> Docs(const Doc (&docs)[n]) {
  return std::to_array(docs);
}

}  // namespace msb::server::api
