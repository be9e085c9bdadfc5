#include "src/server/key_limits.h"

#include <gtest/gtest.h>

#include "src/base/json.h"
#include "src/server/config.h"

namespace msb::server {
namespace {

// What a key says to a start with `config`, while what `starting` asks for starts.
std::string ErrorOf(const Limits& limits, const char* config,
                    const std::vector<const char*>& starting = {}) {
  const Caller caller = {.key_id = "k", .limits = limits};
  const auto parse = [](const char* text) {
    auto parsed = *base::json::Parse<api::Config>(text);
    parsed.image = "x";
    return *CompleteConfig(parsed, std::nullopt, "test");
  };
  std::map<SandboxKey, Reservation> reserved;
  for (const char* text : starting) {
    reserved[{"default", std::to_string(reserved.size())}] = {"k", parse(text)};
  }
  const auto checked = CheckLimits({"default", "new"}, parse(config), caller, {}, reserved);
  return checked ? "" : checked.error().message();
}

TEST(KeyLimitsTest, WhereNothingIsInUseOnlyLessOrAnotherKeyHelps) {
  EXPECT_EQ(ErrorOf({{}, 512, {}, {}}, R"({"memory":512})"), "");
  EXPECT_EQ(ErrorOf({{}, 512, {}, {}}, R"({"memory":1024})"),
            "this key may use 512 MiB of memory at once, and 1024 are wanted: ask for less "
            "(config.memory), or for a key with a higher limit");
  EXPECT_EQ(
      ErrorOf({{}, {}, 1, {}}, R"({"cpus":2})"),
      "this key may use 1 CPU at once, and 2 are wanted: ask for less (config.cpus), or for a "
      "key with a higher limit");
  EXPECT_EQ(ErrorOf({{}, {}, {}, 1024}, R"({"disk":2048})"),
            "this key may use 1024 MiB of disk at once, and 2048 are wanted: ask for less "
            "(config.disk), or for a key with a higher limit");
  EXPECT_EQ(ErrorOf({0, {}, {}, {}}, "{}"),
            "this key may use 0 sandboxes at once, and 1 is wanted: ask for a key with a higher "
            "limit");
}

TEST(KeyLimitsTest, WhatIsInUseCanBeStopped) {
  EXPECT_EQ(ErrorOf({{}, {}, 2, {}}, R"({"cpus":2})", {R"({"cpus":1})"}),
            "this key may use 2 CPUs at once, 1 of which is in use, and 2 more are wanted: stop or "
            "remove a sandbox, ask for less (config.cpus), or for a key with a higher limit");
  EXPECT_EQ(ErrorOf({1, {}, {}, {}}, "{}", {"{}"}),
            "this key may use 1 sandbox at once, 1 of which is in use, and 1 more is wanted: stop "
            "or remove a sandbox, or ask for a key with a higher limit");
}

}  // namespace
}  // namespace msb::server
