#include "src/sandbox/launch_plan.h"

#include <gtest/gtest.h>

namespace msb::sandbox {
namespace {

using Argv = std::vector<base::Bytes>;

image::ImageConfig Config() {
  image::ImageConfig config;
  config.entrypoint = {"python3"};
  config.cmd = {"-i"};
  config.env = {"PATH=/bin", "A=1"};
  config.workdir = "/srv";
  config.user = "app";
  return config;
}

TEST(LaunchPlanTest, NoSandboxGetsMoreMemoryThanTheHostHas) {
  LaunchOptions options;
  options.memory_bytes = uint64_t{1} << 50;
  const auto plan = PlanLaunch({}, options, "/nowhere", {});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), base::ErrorCode::kLimit);
  EXPECT_NE(plan.error().message().find("not 1073741824:"), std::string::npos);
}

TEST(LaunchPlanTest, WithoutWishesAllIsTheImages) {
  EXPECT_EQ(ArgvOf(Config(), "", {}), (Argv{"python3", "-i"}));
  const ProgramDefaults defaults = DefaultsOf(Config(), {});
  EXPECT_EQ(defaults.env, (Argv{"PATH=/bin", "A=1"}));
  EXPECT_EQ(defaults.cwd, base::Bytes("/srv"));
  EXPECT_TRUE(defaults.create_cwd);
  EXPECT_EQ(defaults.user, base::Bytes("app"));
}

TEST(LaunchPlanTest, WishesGoBeforeTheImage) {
  EXPECT_EQ(ArgvOf(Config(), "sh", {"-c", "ls"}), (Argv{"sh", "-c", "ls"}));
  EXPECT_EQ(ArgvOf(Config(), "", {"x.py"}), (Argv{"python3", "-i", "x.py"}));
  const ProgramDefaults defaults =
      DefaultsOf(Config(), {.env = {"A=2"}, .workdir = "/", .user = "0"});
  EXPECT_EQ(defaults.env, (Argv{"PATH=/bin", "A=2"}));
  EXPECT_EQ(defaults.cwd, base::Bytes("/"));
  EXPECT_FALSE(defaults.create_cwd);
  EXPECT_EQ(defaults.user, base::Bytes("0"));
}

TEST(LaunchPlanTest, AnImageWithoutAProgramGetsAShellAtTheRoot) {
  EXPECT_EQ(ArgvOf({}, "", {}), (Argv{"/bin/sh"}));
  EXPECT_EQ(DefaultsOf(image::ImageConfig(), {}).cwd, base::Bytes("/"));
}

}  // namespace
}  // namespace msb::sandbox
