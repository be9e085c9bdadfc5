#include "src/image/reference.h"

#include <gtest/gtest.h>

namespace msb::image {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string Full(std::string_view text) {
  const auto reference = ParseReference(text);
  return reference ? reference->FullName() : "error: " + reference.error().message();
}

std::string ErrorOf(std::string_view text) {
  const auto reference = ParseReference(text);
  return reference ? "accepted as " + reference->FullName() : reference.error().message();
}

TEST(Reference, ShortNamesGetRegistryNamespaceAndTag) {
  EXPECT_EQ(Full("python"), "docker.io/library/python:latest");
  EXPECT_EQ(Full("python:3.12"), "docker.io/library/python:3.12");
  EXPECT_EQ(Full("microsandbox/python"), "docker.io/microsandbox/python:latest");
  EXPECT_EQ(Full("docker.io/python"), "docker.io/library/python:latest");
  EXPECT_EQ(Full("index.docker.io/library/python"), "docker.io/library/python:latest");
}

TEST(Reference, TheFirstComponentIsARegistryIfItCannotBeAPath) {
  EXPECT_EQ(Full("ghcr.io/a/b"), "ghcr.io/a/b:latest");
  EXPECT_EQ(Full("localhost/a"), "localhost/a:latest");
  EXPECT_EQ(Full("host:5000/a"), "host:5000/a:latest");
  EXPECT_EQ(Full("HOST/a"), "HOST/a:latest");
  EXPECT_EQ(Full("[::1]:5000/a:b"), "[::1]:5000/a:b");
  EXPECT_EQ(Full("[2001:db8::1]/a"), "[2001:db8::1]/a:latest");
  EXPECT_EQ(Full("a/b/c"), "docker.io/a/b/c:latest");
}

TEST(Reference, ADigestTakesThePlaceOfTheTag) {
  EXPECT_EQ(Full("a@" + kDigest), "docker.io/library/a@" + kDigest);
  EXPECT_EQ(Full("host:1/a:tag@" + kDigest), "host:1/a@" + kDigest);
  EXPECT_EQ(ParseReference("a:tag@" + kDigest)->tag, "tag");
}

TEST(Reference, EverySeparatorOfTheGrammarIsKnown) {
  for (const char* text : {"a.b", "a_b", "a__b", "a-b", "a---b", "a1/b2", "0"}) {
    EXPECT_TRUE(ParseReference(text)) << text << ": " << ErrorOf(text);
  }
  for (const char* text :
       {"a..b", "a___b", "a_.b", ".a", "a.", "-a", "a-", "_a", "a/", "/a", "a//b"}) {
    EXPECT_FALSE(ParseReference(text)) << text;
  }
}

TEST(Reference, ErrorsNameTheWrongPart) {
  EXPECT_NE(ErrorOf("a:b c").find("tag 'b c'"), std::string::npos) << ErrorOf("a:b c");
  EXPECT_NE(ErrorOf("a:").find("tag ''"), std::string::npos);
  EXPECT_NE(ErrorOf("a:" + std::string(129, 'x')).find("tag"), std::string::npos);
  EXPECT_NE(ErrorOf("Python").find("capital letters"), std::string::npos) << ErrorOf("Python");
  EXPECT_NE(ErrorOf("-host.x/a").find("registry '-host.x'"), std::string::npos);
  EXPECT_NE(ErrorOf("host:port/a").find("registry 'host:port'"), std::string::npos);
  EXPECT_NE(ErrorOf("a/b$c").find("path component 'b$c'"), std::string::npos);
  EXPECT_NE(ErrorOf("a@sha256:abc").find("digest 'sha256:abc'"), std::string::npos);
  EXPECT_NE(ErrorOf("a@sha512:" + std::string(128, 'a')).find("sha512"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(64, 'a')).find("looks like a digest"), std::string::npos);
  EXPECT_NE(ErrorOf("sha256:abcdef123456").find("begins a digest"), std::string::npos);
  EXPECT_NE(ErrorOf("").find("empty"), std::string::npos);
  EXPECT_NE(ErrorOf("host.x/" + std::string(256, 'a')).find("255"), std::string::npos);
}

TEST(Reference, ErrorsCannotCarryTerminalSequences) {
  EXPECT_EQ(ErrorOf("\033[2J").find('\033'), std::string::npos);
}

TEST(Reference, ShortNamesReadBackAsTheSame) {
  for (const std::string text : {"python", "python:3", "a/b", "host:1/a/b:c",
                                 "docker.io/library/a/b", "docker.io/localhost/a"}) {
    const Reference reference = *ParseReference(text);
    EXPECT_EQ(*ParseReference(reference.ShortName()), reference) << reference.ShortName();
  }
  EXPECT_EQ(ParseReference("docker.io/library/python:latest")->ShortName(), "python");
}

}  // namespace
}  // namespace msb::image
