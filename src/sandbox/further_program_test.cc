#include "src/sandbox/further_program.h"

#include <gtest/gtest.h>

namespace msb::sandbox {
namespace {

using Words = std::vector<base::Bytes>;

TEST(FurtherProgramTest, InheritsEnvironmentDirectoryAndUser) {
  const ProgramDefaults defaults{{"A=1", "B=2"}, "/srv", /*create_cwd=*/true, "app"};
  const agent::Exec exec = ExecOf(defaults, {.argv = {"ls"}, .env = {}, .workdir = {}, .user = {}});
  EXPECT_EQ(exec.argv, (Words{"ls"}));
  EXPECT_EQ(exec.env, defaults.env);
  EXPECT_EQ(exec.cwd, base::Bytes("/srv"));
  EXPECT_TRUE(exec.create_cwd);
  EXPECT_EQ(exec.user, base::Bytes("app"));
  EXPECT_EQ(exec.id.size(), agent::kProcessIdDigits);
}

TEST(FurtherProgramTest, WhatIsGivenGoesBefore) {
  const ProgramDefaults defaults{{"A=1", "B=2"}, "/srv", /*create_cwd=*/true, "app"};
  const agent::Exec exec =
      ExecOf(defaults, {.argv = {"ls"}, .env = {"B=3"}, .workdir = "/tmp", .user = "root"});
  EXPECT_EQ(exec.env, (Words{"A=1", "B=3"}));
  EXPECT_EQ(exec.cwd, base::Bytes("/tmp"));
  EXPECT_FALSE(exec.create_cwd) << "only an image's directory need not exist";
  EXPECT_EQ(exec.user, base::Bytes("root"));
}

}  // namespace
}  // namespace msb::sandbox
