#include "src/agent/guest/accounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace msb::agent {
namespace {

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/bash\n"
    "# a comment\n"
    "broken:x:not-a-number:0::/:\n"
    "short:x:5\n"
    "app:x:1000:1001:App,,,:/home/app:/bin/sh\n"
    "homeless:x:1002:1002:::\n"
    "1003:x:2003:2003::/numeric-name:\n"
    "huge:x:4294967295:0::/:\n"
    "last:x:7:7::/last:/bin/sh";
constexpr std::string_view kGroup =
    "root:x:0:\n"
    "wheel:x:10:root,app\n"
    "docker:x:999:other,app\n"
    "prefix:x:998:apple\n"
    "broken:x:y:app\n"
    "staff:x:50:";

Identity Resolve(std::string_view user) {
  auto identity = ResolveUser(user, kPasswd, kGroup);
  EXPECT_TRUE(identity.has_value()) << user;
  return identity.value_or(Identity{});
}
std::string WhyNot(std::string_view user) {
  auto identity = ResolveUser(user, kPasswd, kGroup);
  EXPECT_FALSE(identity.has_value()) << user;
  return identity ? "" : identity.error().message();
}

TEST(Accounts, NobodyNamedMeansRoot) {
  const Identity root = Resolve("");
  EXPECT_EQ(root.uid, 0u);
  EXPECT_EQ(root.home, "/root");
  EXPECT_THAT(root.groups, testing::ElementsAre(10u));
}

TEST(Accounts, ANameBringsItsGroupItsGroupsAndItsHome) {
  const Identity app = Resolve("app");
  EXPECT_EQ(app.uid, 1000u);
  EXPECT_EQ(app.gid, 1001u);
  EXPECT_THAT(app.groups, testing::ElementsAre(10u, 999u));
  EXPECT_EQ(app.home, "/home/app");
}

TEST(Accounts, ANumberThatIsListedIsThatUser) {
  EXPECT_EQ(Resolve("1000").home, "/home/app");
  EXPECT_EQ(Resolve("1000").gid, 1001u);
}

TEST(Accounts, ANumberNeedNotBeListed) {
  const Identity unlisted = Resolve("4242");
  EXPECT_EQ(unlisted.uid, 4242u);
  EXPECT_EQ(unlisted.gid, 0u);
  EXPECT_EQ(unlisted.home, "/");
  EXPECT_TRUE(unlisted.groups.empty());
}

TEST(Accounts, ANameThatLooksLikeANumberIsANameFirst) { EXPECT_EQ(Resolve("1003").uid, 2003u); }

TEST(Accounts, AGroupThatIsNamedReplacesAllOthers) {
  EXPECT_EQ(Resolve("app:staff").gid, 50u);
  EXPECT_TRUE(Resolve("app:staff").groups.empty());
  EXPECT_EQ(Resolve("app:12345").gid, 12345u);
  EXPECT_EQ(Resolve(":staff").uid, 0u);
}

TEST(Accounts, WhatIsUnknownIsNamed) {
  EXPECT_NE(WhyNot("ghost").find("ghost"), std::string::npos);
  EXPECT_NE(WhyNot("app:ghosts").find("ghosts"), std::string::npos);
  EXPECT_NE(WhyNot("4294967295").find("4294967295"), std::string::npos);
  EXPECT_NE(WhyNot("-1").find("-1"), std::string::npos);
  EXPECT_NE(WhyNot("app:").find("no group"), std::string::npos);
}

TEST(Accounts, LinesThatMakeNoSenseAreSkipped) {
  WhyNot("broken");
  WhyNot("short");
  WhyNot("huge");
  EXPECT_EQ(Resolve("last").uid, 7u);
  EXPECT_EQ(Resolve("homeless").home, "/");
}

TEST(Accounts, MissingFilesAreEmptyOnes) {
  const auto root = ResolveUserIn("", "/no/passwd", "/no/group");
  ASSERT_TRUE(root.has_value());
  EXPECT_EQ(root->uid, 0u);
  EXPECT_EQ(root->home, "/");
}

TEST(Accounts, AFifoInTheirPlaceDoesNotStopUs) {
  const std::string fifo = testing::TempDir() + "passwd_fifo";
  ::unlink(fifo.c_str());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(ResolveUserIn("", fifo, fifo).has_value());
}

}  // namespace
}  // namespace msb::agent
