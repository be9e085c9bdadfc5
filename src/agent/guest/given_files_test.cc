#include "src/agent/guest/given_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/agent/guest/testing_files.h"

namespace msb::agent {
namespace {

class GivenFilesTest : public FilesTest {
 protected:
  base::Status Give(const std::string& name, const std::string& content, uint32_t mode = 0755) {
    return WriteGivenFiles({{.path = top + name, .content = content, .mode = mode}});
  }
};

TEST_F(GivenFilesTest, AFileIsThereWithItsModeAndItsDirectories) {
  ASSERT_TRUE(Give("/a/b/start", "#!/bin/sh\n"));
  EXPECT_EQ(Content("/a/b/start"), "#!/bin/sh\n");
  EXPECT_EQ(Status("/a/b/start").st_mode & 07777, 0755u);
  ASSERT_TRUE(Give("/a/b/start", "new", 0644));
  EXPECT_EQ(Content("/a/b/start"), "new");
  EXPECT_EQ(Status("/a/b/start").st_mode & 07777, 0644u);
}

TEST_F(GivenFilesTest, WhatAProgramHasPutThereIsReplacedNotFollowed) {
  Make("/target", "mine");
  ASSERT_EQ(::symlink("target", (top + "/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((top + "/fifo").c_str(), 0644), 0);
  ASSERT_TRUE(Give("/link", "given"));
  ASSERT_TRUE(Give("/fifo", "given"));
  EXPECT_EQ(Content("/target"), "mine");
  EXPECT_EQ(Content("/link"), "given");
  EXPECT_EQ(Content("/fifo"), "given");
}

TEST_F(GivenFilesTest, TheirDirectoryIsMadeInPlaceOfWhateverHasItsName) {
  const std::string path = top + "/.sandbox";
  Make("/.sandbox", "a file");
  ASSERT_TRUE(MakeGivenDirectory(top));
  EXPECT_TRUE(S_ISDIR(Status("/.sandbox").st_mode));
  ASSERT_TRUE(MakeGivenDirectory(top)) << "it stays";
  ASSERT_EQ(::rmdir(path.c_str()), 0);
  ASSERT_EQ(::symlink("/etc", path.c_str()), 0);
  ASSERT_TRUE(MakeGivenDirectory(top));
  EXPECT_TRUE(S_ISDIR(Status("/.sandbox").st_mode));
}

TEST_F(GivenFilesTest, OneThatCannotBeWrittenIsNamed) {
  Make("/file", "");
  const base::Status given = Give("/file/below", "x");
  ASSERT_FALSE(given);
  EXPECT_NE(given.error().message().find("/file/below"), std::string::npos);
  EXPECT_FALSE(WriteGivenFiles({{.path = "relative", .content = "x"}}));
}

}  // namespace
}  // namespace msb::agent
