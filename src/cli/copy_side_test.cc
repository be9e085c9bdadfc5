#include "src/cli/copy_side.h"

#include <gtest/gtest.h>

namespace msb::cli {
namespace {

TEST(CopySide, ANameAndAColonAreASandbox) {
  EXPECT_EQ(ParseCopySide("box:/etc/passwd").sandbox, "box");
  EXPECT_EQ(ParseCopySide("box:/etc/passwd").path, "/etc/passwd");
  EXPECT_EQ(ParseCopySide("box:etc").path, "/etc") << "paths there begin at the root";
  EXPECT_EQ(ParseCopySide("box:/a:b").path, "/a:b");
  EXPECT_EQ(ParseCopySide("default/box:/x").sandbox, "default/box");
  EXPECT_EQ(ParseCopySide("default/box:/x").path, "/x");
}

TEST(CopySide, APathWithAColonIsAPath) {
  for (const char* path :
       {"./box:/x", "/srv/a:b", "./a/box:/x", "a/b/c:x", "plain", "-", ":x", "a b:x"}) {
    EXPECT_EQ(ParseCopySide(path).sandbox, "") << path;
    EXPECT_EQ(ParseCopySide(path).path, path);
  }
}

TEST(CopySide, ExactlyOneSideIsInASandbox) {
  const CopySide here{.sandbox = "", .path = "x"};
  const CopySide there{.sandbox = "box", .path = "/x"};
  EXPECT_TRUE(CheckCopySides(here, there));
  EXPECT_TRUE(CheckCopySides(there, here));
  EXPECT_FALSE(CheckCopySides(here, here));
  EXPECT_FALSE(CheckCopySides(there, there));
  EXPECT_FALSE(CheckCopySides(here, {.sandbox = "box", .path = ""}));
  EXPECT_FALSE(CheckCopySides({.sandbox = "", .path = ""}, there));
}

TEST(CopySide, TheNameOfACopyIsTheLastOfItsPath) {
  EXPECT_EQ(BaseNameOf("/srv/data"), "data");
  EXPECT_EQ(BaseNameOf("data//"), "data");
  for (const char* contents : {"/", "//", ".", "..", "dir/.", "dir/./", "/a/.."}) {
    EXPECT_EQ(BaseNameOf(contents), "") << contents;
  }
  EXPECT_EQ(ParentOf("/srv/data/"), "/srv");
  EXPECT_EQ(ParentOf("/srv"), "/");
  EXPECT_EQ(ParentOf("data"), ".");
}

}  // namespace
}  // namespace msb::cli
