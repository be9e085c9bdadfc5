#include "src/server/auth/server_key.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "src/base/sys.h"

namespace msb::server {
namespace {

class ServerKey : public testing::Test {
 protected:
  ServerKey() {
    std::string path = testing::TempDir() + "server_key.XXXXXX";
    CHECK(::mkdtemp(path.data()) != nullptr);
    path_ = path;
    home_ = *base::OpenFile(path_, O_RDONLY | O_DIRECTORY);
  }
  ~ServerKey() override { std::filesystem::remove_all(path_); }
  std::string File() const { return path_ + "/server.key"; }

  std::string path_;
  base::UniqueFd home_;
};

TEST_F(ServerKey, IsMadeOnceAndForItsOwnerOnly) {
  EXPECT_EQ(LoadKey(home_.get()).error().code(), base::ErrorCode::kNotFound);
  const auto key = LoadOrCreateKey(home_.get());
  ASSERT_TRUE(key) << key.error().message();
  EXPECT_EQ(key->size(), 64u);
  EXPECT_EQ(*LoadOrCreateKey(home_.get()), *key);
  struct stat status;
  ASSERT_EQ(::stat(File().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(ServerKey, IsReplacedWhole) {
  ASSERT_TRUE(LoadOrCreateKey(home_.get()));
  const std::string key = MakeKey();
  ASSERT_TRUE(StoreKey(home_.get(), key));
  EXPECT_EQ(*LoadKey(home_.get()), key);
}

TEST_F(ServerKey, IsNotTakenFromAFileThatOthersCanRead) {
  ASSERT_TRUE(LoadOrCreateKey(home_.get()));
  ASSERT_EQ(::chmod(File().c_str(), 0640), 0);
  EXPECT_EQ(LoadOrCreateKey(home_.get()).error().code(), base::ErrorCode::kDenied);
}

TEST_F(ServerKey, IsNoLink) {
  ASSERT_TRUE(base::ReplaceFileAt(home_.get(), "other", MakeKey(), 0600, false));
  ASSERT_EQ(::symlink("other", File().c_str()), 0);
  EXPECT_FALSE(LoadOrCreateKey(home_.get()));
}

TEST_F(ServerKey, MustBeASecret) {
  EXPECT_EQ(*CheckKey(std::string(32, 'k') + "\n"), std::string(32, 'k'));
  EXPECT_FALSE(CheckKey("short"));
  EXPECT_FALSE(CheckKey(std::string(40, ' ')));
  EXPECT_FALSE(CheckKey(""));
}

}  // namespace
}  // namespace msb::server
