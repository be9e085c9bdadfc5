#include "src/server/host_paths.h"

#include <gtest/gtest.h>

namespace msb::server {
namespace {

TEST(HostPaths, ThoseOfTheServerAreCalledByNames) {
  const HostPaths paths("/srv/u/.msb", "/srv/u/.msb/namespaces");
  EXPECT_EQ(paths.Hide("cannot open /srv/u/.msb/images/index.json: /srv/u/.msb"),
            "cannot open $MSB_HOME/images/index.json: $MSB_HOME");
  EXPECT_EQ(paths.Hide("the disk /srv/u/.msb/namespaces/default/a/disk"),
            "the disk NAMESPACES/default/a/disk");
  EXPECT_EQ(paths.Hide("(/run/msb/0123/state.json)"), "(RUN/0123/state.json)");
}

TEST(HostPaths, OthersAreLeftAsTheyAre) {
  const HostPaths paths("/srv/u", "/data");
  for (const char* text : {"/srv/user/x", "/mnt/srv/u/x", "a/data", "/data2", "", "/bin/sh"}) {
    EXPECT_EQ(paths.Hide(text), text);
  }
}

TEST(HostPaths, ARootIsNoPlaceOfOnesOwn) {
  EXPECT_EQ(HostPaths("/", "").Hide("cd /tmp/x /"), "cd /tmp/x /");
}

TEST(HostPaths, AnErrorKeepsItsCode) {
  const HostPaths paths("/srv/u", "/data");
  const base::Error error = paths.Hide(base::Error(base::ErrorCode::kNoSpace, "/data/a: full"));
  EXPECT_EQ(error.code(), base::ErrorCode::kNoSpace);
  EXPECT_EQ(error.message(), "NAMESPACES/a: full");
}

}  // namespace
}  // namespace msb::server
