#include "src/server/config.h"

#include <gtest/gtest.h>

#include "src/base/json.h"

namespace msb::server {
namespace {

api::Config Parse(const std::string& text) { return base::json::Parse<api::Config>(text).value(); }

std::string ErrorOf(const std::string& text) {
  const auto config = CompleteConfig(Parse(text), std::nullopt, "test");
  return config ? "(accepted)" : config.error().message();
}

TEST(ConfigTest, DefaultsAreFilledIn) {
  const api::Config config = *CompleteConfig(Parse(R"({"image":"python"})"), std::nullopt, "test");
  EXPECT_EQ(MemoryBytes(config), 1024ull << 20);
  EXPECT_EQ(Cpus(config), 1u);
  EXPECT_EQ(DiskBytes(config), 8192ull << 20);
  EXPECT_EQ(config.shell, "/bin/sh");
}

TEST(ConfigTest, NumbersMayArriveAsFractionsIfTheyAreWhole) {
  EXPECT_EQ(Cpus(*CompleteConfig(Parse(R"({"image":"x","cpus":1.0})"), {}, "test")), 1u);
  EXPECT_EQ(ErrorOf(R"({"image":"x","cpus":1.5})"),
            "config.cpus: 1.5 is not a whole number from 1 to 1024");
  EXPECT_EQ(ErrorOf(R"({"image":"x","memory":0})"),
            "config.memory: 0 is not a whole number of MiB from 64 to 65536");
  EXPECT_NE(ErrorOf(R"({"image":"x","memory":-512})"), "(accepted)");
  EXPECT_NE(ErrorOf(R"({"image":"x","memory":1e300})"), "(accepted)");
  EXPECT_NE(ErrorOf(R"({"image":"x","disk":1})"), "(accepted)");
}

TEST(ConfigTest, ATimeSaysWhetherItMayBeZero) {
  EXPECT_TRUE(CheckSeconds("idle", 0, /*zero=*/true));
  EXPECT_EQ(CheckSeconds("idle", -3, /*zero=*/true).error().message(),
            "idle: -3 is not a number of seconds from 0 to a century");
  EXPECT_EQ(CheckSeconds("idle", 0, /*zero=*/false).error().message(),
            "idle: 0 is not a number of seconds above 0, up to a century");
}

TEST(ConfigTest, AVariableHasANameAndAValue) {
  EXPECT_EQ(ErrorOf(R"({"image":"x","envs":["X"]})"),
            "config.envs: \"X\" is not an environment variable: write NAME=VALUE");
}

TEST(ConfigTest, WhatWouldReachTheHostIsRefused) {
  EXPECT_NE(ErrorOf(R"({"image":"x","volumes":["/:/host"]})"), "(accepted)");
  EXPECT_NE(ErrorOf(R"({"image":"x","ports":["80:80"]})"), "(accepted)");
  EXPECT_NE(ErrorOf(R"({"image":"x","depends_on":["y"]})"), "(accepted)");
  EXPECT_NE(ErrorOf(R"({"image":"x","env_file":"/etc/shadow"})"), "(accepted)");
  EXPECT_NE(ErrorOf(R"({"image":"/srv/rootfs"})"), "(accepted)");
  EXPECT_NE(ErrorOf(R"({"image":"./rootfs"})"), "(accepted)");
  EXPECT_NE(ErrorOf(R"({"image":"x","scripts":{"../../x":"y"}})"), "(accepted)");
}

TEST(ConfigTest, WithoutAnImageTheEarlierConfigurationIsChanged) {
  const api::Config earlier =
      *CompleteConfig(Parse(R"({"image":"x","memory":256,"envs":["A=1"]})"), {}, "test");
  EXPECT_EQ(DifferenceOf(*CompleteConfig(std::nullopt, earlier, "test"), earlier), "");
  const api::Config changed = *CompleteConfig(Parse(R"({"memory":512})"), earlier, "test");
  EXPECT_EQ(changed.image, "x");
  EXPECT_EQ(changed.envs, std::vector<std::string>{"A=1"});
  EXPECT_EQ(DifferenceOf(changed, earlier), "memory (256, not 512)");
}

TEST(ConfigTest, WithAnImageItIsAConfigurationOfItsOwn) {
  const api::Config earlier = *CompleteConfig(Parse(R"({"image":"x","memory":256})"), {}, "test");
  const api::Config other = *CompleteConfig(Parse(R"({"image":"x"})"), earlier, "test");
  EXPECT_EQ(MemoryBytes(other), 1024ull << 20);
}

TEST(ConfigTest, WithoutAnyImageItSaysWhatToDo) {
  EXPECT_EQ(ErrorOf("{}"),
            "sandbox test was not started before: give config.image, such as "
            "microsandbox/python");
}

TEST(ConfigTest, NamesAreOneWord) {
  EXPECT_TRUE(CheckName("sandbox", "a-B_9"));
  for (const char* bad : {"", "-a", "a/b", "..", "a b", "é", "*"}) {
    EXPECT_FALSE(CheckName("sandbox", bad)) << bad;
  }
  EXPECT_FALSE(CheckName("sandbox", std::string(64, 'a')));
}

TEST(ConfigTest, ImagePatternsMatchHoweverTheImageIsWritten) {
  EXPECT_TRUE(IsImageAllowed({"*"}, "sha256:0"));
  EXPECT_TRUE(IsImageAllowed({"microsandbox/*"}, "docker.io/microsandbox/python:latest"));
  EXPECT_TRUE(IsImageAllowed({"docker.io/library/python"}, "python:3.12"));
  EXPECT_TRUE(IsImageAllowed({"x", "python"}, "python"));
  EXPECT_FALSE(IsImageAllowed({"microsandbox/*"}, "evil/microsandbox/python"));
  EXPECT_FALSE(IsImageAllowed({"python"}, "pythonx"));
  EXPECT_FALSE(IsImageAllowed({}, "python"));
}

TEST(ConfigTest, AnImageHasManySpellings) {
  for (const char* other : {"busybox", "busybox:latest", "docker.io/library/busybox",
                            "index.docker.io/library/busybox:latest"}) {
    EXPECT_TRUE(IsSameName("busybox", other)) << other;
    EXPECT_TRUE(IsSameName(other, "library/busybox")) << other;
  }
  for (const char* other : {"busybox:1", "ghcr.io/library/busybox", "BUSYBOX", ""}) {
    EXPECT_FALSE(IsSameName("busybox", other)) << other;
  }
  EXPECT_TRUE(IsSameName("?", "?"));
}

}  // namespace
}  // namespace msb::server
