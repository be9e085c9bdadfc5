// Program look-up, the output ring, and the text and names that the root is made with.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/agent/guest/etc_files.h"
#include "src/agent/guest/output_ring.h"
#include "src/agent/guest/plain_directories.h"
#include "src/agent/guest/program_path.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

class ProgramPath : public testing::Test {
 protected:
  void SetUp() override {
    top = testing::TempDir() + "path_" + base::RandomHex(4);
    for (const char* name : {"", "/a", "/b", "/b/tool"}) {
      ASSERT_EQ(::mkdir((top + name).c_str(), 0755), 0);
    }
    Make("/a/plain", 0644);
    Make("/b/plain", 0755);
    Make("/a/only", 0644);
    Make("/here", 0755);
    cwd = base::OpenFile(top, O_PATH | O_DIRECTORY).value();
  }
  void Make(const std::string& name, mode_t mode) {
    const auto fd = base::OpenFile(top + name, O_WRONLY | O_CREAT, mode);
    ASSERT_TRUE(fd.has_value());
    ASSERT_EQ(::fchmod(fd->get(), mode), 0);
  }
  base::Result<std::string> Find(std::string_view program, std::string_view path) {
    return FindProgram(program, path, cwd.get());
  }
  std::string top;
  base::UniqueFd cwd;
};

TEST_F(ProgramPath, TheFirstExecutableInPathIsTaken) {
  EXPECT_EQ(Find("plain", top + "/a:" + top + "/b").value(), top + "/b/plain");
}

TEST_F(ProgramPath, WhatIsThereButNotExecutableIsDenied) {
  EXPECT_EQ(Find("only", top + "/a").error().code(), base::ErrorCode::kDenied);
  EXPECT_EQ(Find("tool", top + "/b").error().code(), base::ErrorCode::kDenied) << "a directory";
}

TEST_F(ProgramPath, WhatIsNowhereIsMissing) {
  EXPECT_EQ(Find("absent", "/no:" + top + "/a").error().code(), base::ErrorCode::kNotFound);
  EXPECT_EQ(Find("", top).error().code(), base::ErrorCode::kNotFound);
  EXPECT_EQ(Find("absent", "").error().code(), base::ErrorCode::kNotFound);
}

TEST_F(ProgramPath, ASlashMeansAPathFromTheWorkingDirectory) {
  EXPECT_EQ(Find("./here", "/nowhere").value(), "./here");
  EXPECT_EQ(Find(top + "/here", "").value(), top + "/here");
  EXPECT_EQ(Find("./absent", top).error().code(), base::ErrorCode::kNotFound);
}

TEST_F(ProgramPath, AnEmptyEntryOfPathIsTheWorkingDirectory) {
  EXPECT_EQ(Find("here", "/nowhere::/else").value(), "./here");
  EXPECT_EQ(Find("plain", "b").value(), "b/plain");
}

// --- the ring

void Write(OutputRing& ring, std::string_view text, bool keep_all = true) {
  while (!text.empty()) {
    const std::span<char> room = ring.Room(keep_all ? ring.begin() : ring.end(), text.size());
    ASSERT_FALSE(room.empty());
    std::copy_n(text.data(), room.size(), room.data());
    ring.Commit(room.size());
    text.remove_prefix(room.size());
  }
}

std::string All(const OutputRing& ring, uint64_t from) {
  std::string all;
  while (from < ring.end()) {
    const std::string_view piece = ring.From(from);
    all += piece;
    from += piece.size();
  }
  return all;
}

TEST(OutputRing, KeepsTheLastBytesInOrderAroundItsEnd) {
  OutputRing ring(10);
  Write(ring, "0123456789");
  EXPECT_TRUE(ring.Room(0, 5).empty()) << "full, and all is kept";
  Write(ring, "abcd", false);
  EXPECT_EQ(ring.begin(), 4u);
  EXPECT_EQ(All(ring, 4), "456789abcd");
}

TEST(OutputRing, GivesNoRoomThatIsStillNeeded) {
  OutputRing ring(10);
  Write(ring, "01234567");
  EXPECT_EQ(ring.Room(3, 100).size(), 2u) << "to the end of the memory";
  ring.Commit(2);
  EXPECT_EQ(ring.Room(3, 100).size(), 3u);
  EXPECT_EQ(ring.begin(), 3u);
}

TEST(OutputRing, WhatIsForgottenGivesItsPlaceToWhatComes) {
  OutputRing ring(10);
  Write(ring, "0123456");
  ring.Forget(7);
  EXPECT_EQ(ring.Room(ring.end(), 100).size(), 10u) << "in one piece, from the beginning";
  Write(ring, "abc");
  EXPECT_EQ(All(ring, 7), "abc");
  ring.Forget(8);
  EXPECT_EQ(ring.begin(), 8u);
  EXPECT_EQ(All(ring, 8), "bc");
}

TEST(OutputRing, MatchesAModelOverManySteps) {
  OutputRing ring(97);
  std::string model;
  uint32_t random = 1;
  for (int step = 0; step < 20000; ++step) {
    random = random * 1664525 + 1013904223;
    const size_t wanted = random >> 20 & 63;
    const uint64_t keep = ring.end() - std::min<uint64_t>(ring.end() - ring.begin(), random & 63);
    const std::span<char> room = ring.Room(keep, wanted);
    for (char& c : room) {
      c = static_cast<char>('a' + model.size() % 26);
      model += c;
    }
    ring.Commit(room.size());
    ASSERT_LE(ring.begin(), keep);
    ASSERT_EQ(All(ring, ring.begin()), model.substr(ring.begin()));
    if ((random & 7) == 0) ring.Forget(keep);
  }
}

// --- names and texts

TEST(PlainDirectories, PathsAreCleanedOrRefused) {
  EXPECT_EQ(CleanPath("/data").value(), "/data");
  EXPECT_EQ(CleanPath("//a///b/").value(), "/a/b");
  for (const std::string_view bad : {"", "data", "/", "//", "/a/../b", "/..", "/a/.", "/a/./b"}) {
    EXPECT_FALSE(CleanPath(bad).has_value()) << bad;
  }
  EXPECT_FALSE(CleanPath(std::string_view("/a\0b", 4)).has_value());
  EXPECT_FALSE(CleanPath("/" + std::string(300, 'x')).has_value());
}

TEST(PlainDirectories, DifferentPathsHaveDifferentNamesWithoutSlashes) {
  EXPECT_EQ(PlainName("/a/b"), "%2Fa%2Fb");
  EXPECT_NE(PlainName("/a/b"), PlainName("/a%2Fb"));
  EXPECT_EQ(PlainName("/../x").find('/'), std::string::npos);
}

TEST(PlainDirectories, FileSystemsOfTheirOwnAreKnown) {
  EXPECT_TRUE(IsSpecial("/proc"));
  EXPECT_TRUE(IsSpecial("/dev/shm"));
  EXPECT_FALSE(IsSpecial("/device"));
  EXPECT_FALSE(IsSpecial("/srv/proc"));
}

TEST(EtcFiles, HostsNamesTheSandboxAndWhatIsAdded) {
  const std::string text = HostsText({.hostname = "box", .hosts = {"10.0.0.2\tdb"}});
  EXPECT_THAT(text, testing::HasSubstr("127.0.0.1\tlocalhost\n"));
  EXPECT_THAT(text, testing::HasSubstr("\tbox\n"));
  EXPECT_THAT(text, testing::HasSubstr("10.0.0.2\tdb\n"));
}

TEST(EtcFiles, ResolvConfListsServersAndDomains) {
  EXPECT_EQ(ResolvText({.nameservers = {"10.0.0.1", "10.0.0.2"}, .search = {"a.test", "b.test"}}),
            "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.test b.test\n");
  EXPECT_EQ(ResolvText({}), "");
}

TEST(EtcFiles, ValuesThatWouldBeMoreThanALineAreRefused) {
  EXPECT_FALSE(CheckEtcValues({.hostname = "a\nb"}).has_value());
  EXPECT_FALSE(CheckEtcValues({.hostname = ""}).has_value());
  EXPECT_FALSE(CheckEtcValues({.nameservers = {"1.1.1.1\noptions x"}}).has_value());
  EXPECT_TRUE(CheckEtcValues({}).has_value());
}

}  // namespace
}  // namespace msb::agent
