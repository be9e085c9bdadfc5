#include "src/base/paths.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

namespace msb::base {
namespace {

class Paths : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(directory_), nullptr);
    ::unsetenv("MSB_HOME");
    ::unsetenv("MICROSANDBOX_HOME");
    ::setenv("HOME", "/home/someone", 1);
  }
  void TearDown() override {
    ::rmdir((std::string(directory_) + "/home").c_str());
    ::rmdir(directory_);
  }
  char directory_[32] = "/tmp/msb-paths-XXXXXX";
};

TEST_F(Paths, TheHomeIsBelowTheUsersUnlessAVariableSaysOtherwise) {
  EXPECT_EQ(*ResolveHome(), "/home/someone/.microsandbox");
  ::setenv("MICROSANDBOX_HOME", "/b", 1);
  EXPECT_EQ(*ResolveHome(), "/b");
  ::setenv("MSB_HOME", "/a", 1);
  EXPECT_EQ(*ResolveHome(), "/a");
}

TEST_F(Paths, ARelativeHomeIsMadeAbsolute) {
  ::setenv("MSB_HOME", "here", 1);
  EXPECT_TRUE(ResolveHome()->starts_with('/'));
  EXPECT_TRUE(ResolveHome()->ends_with("/here"));
}

TEST_F(Paths, WithoutAnyVariableTheErrorSaysWhatToSet) {
  ::unsetenv("HOME");
  const auto home = ResolveHome();
  ASSERT_FALSE(home);
  EXPECT_EQ(home.error().code(), ErrorCode::kInvalid);
  EXPECT_NE(home.error().message().find("MSB_HOME"), std::string::npos);
}

TEST_F(Paths, AHomeIsCreatedPrivateOnlyOnRequest) {
  const std::string home = std::string(directory_) + "/home";
  EXPECT_EQ(OpenHome(home, HomeMode::kMustExist).error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(OpenHome(home, HomeMode::kCreate));
  struct stat status;
  ASSERT_EQ(::stat(home.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  EXPECT_TRUE(OpenHome(home, HomeMode::kMustExist));
}

TEST_F(Paths, AHomeThatOthersMayWriteToIsRefused) {
  ASSERT_EQ(::chmod(directory_, 0777), 0);
  EXPECT_EQ(OpenHome(directory_, HomeMode::kCreate).error().code(), ErrorCode::kDenied);
}

TEST_F(Paths, AHomeOfAnotherUserIsRefused) {
  if (::geteuid() != 0) {
    EXPECT_EQ(OpenHome("/", HomeMode::kMustExist).error().code(), ErrorCode::kDenied);
    return;
  }
  ASSERT_EQ(::chown(directory_, 12345, 12345), 0);
  EXPECT_EQ(OpenHome(directory_, HomeMode::kCreate).error().code(), ErrorCode::kDenied);
}

TEST_F(Paths, HelpersAreBesideTheExecutableOrInTheNeighbouringLibexec) {
  EXPECT_EQ(LibexecDirectoryOf("/u/.local/bin/msb"), "/u/.local/libexec/microsandbox");
  EXPECT_EQ(LibexecDirectoryOf("/u/libexec/microsandbox/msb-image"), "/u/libexec/microsandbox");
  EXPECT_EQ(LibexecDirectoryOf("/bin/msb"), "/libexec/microsandbox");
  EXPECT_EQ(LibexecDirectoryOf("/msb"), "/libexec/microsandbox");
}

TEST_F(Paths, TheRunningExecutableIsFound) {
  EXPECT_TRUE(LibexecDirectory()->ends_with("/libexec/microsandbox"));
}

}  // namespace
}  // namespace msb::base
