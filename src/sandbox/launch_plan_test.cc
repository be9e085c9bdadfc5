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

TEST(LaunchPlanTest, WithoutWishesTheProgramIsTheImages) {
  const agent::Exec exec = ProgramOf(Config(), {});
  EXPECT_EQ(exec.argv, (Argv{"python3", "-i"}));
  EXPECT_EQ(exec.env, (Argv{"PATH=/bin", "A=1"}));
  EXPECT_EQ(exec.cwd, base::Bytes("/srv"));
  EXPECT_TRUE(exec.create_cwd);
  EXPECT_EQ(exec.user, base::Bytes("app"));
}

TEST(LaunchPlanTest, WishesGoBeforeTheImage) {
  const agent::Exec exec = ProgramOf(
      Config(),
      {.exec = "sh", .arguments = {"-c", "ls"}, .env = {"A=2"}, .workdir = "/", .user = "0"});
  EXPECT_EQ(exec.argv, (Argv{"sh", "-c", "ls"}));
  EXPECT_EQ(exec.env, (Argv{"PATH=/bin", "A=2"}));
  EXPECT_EQ(exec.cwd, base::Bytes("/"));
  EXPECT_FALSE(exec.create_cwd);
  EXPECT_EQ(exec.user, base::Bytes("0"));
}

TEST(LaunchPlanTest, AnImageWithoutAProgramGetsAShellAtTheRoot) {
  const agent::Exec exec = ProgramOf({}, {});
  EXPECT_EQ(exec.argv, (Argv{"/bin/sh"}));
  EXPECT_EQ(exec.cwd, base::Bytes("/"));
}

}  // namespace
}  // namespace msb::sandbox
