#include "src/cli/command_line.h"

#include <gtest/gtest.h>

namespace msb::cli {
namespace {

std::variant<CommandLine, Leave> Parse(std::vector<const char*> argv) {
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data());
}

ExeOptions Exe(std::vector<const char*> argv) {
  const auto parsed = Parse(std::move(argv));
  if (const auto* leave = std::get_if<Leave>(&parsed)) {
    ADD_FAILURE() << leave->text;
    return {};
  }
  return std::get<ExeOptions>(std::get<CommandLine>(parsed).command);
}

std::string Error(std::vector<const char*> argv, int code) {
  const auto parsed = Parse(std::move(argv));
  const auto* leave = std::get_if<Leave>(&parsed);
  if (leave == nullptr) return "(accepted)";
  EXPECT_EQ(leave->code, code) << leave->text;
  return leave->text;
}

TEST(CommandLineTest, ExeHasTheDocumentedDefaults) {
  const ExeOptions exe = Exe({"msb", "exe", "python"});
  EXPECT_EQ(exe.image, "python");
  EXPECT_EQ(exe.memory_bytes, 1024ull << 20);
  EXPECT_EQ(exe.disk_bytes, 8ull << 30);
  EXPECT_EQ(exe.cpus, 1u);
  EXPECT_TRUE(exe.arguments.empty());
}

TEST(CommandLineTest, MsxAndXMeanExe) {
  EXPECT_EQ(Exe({"/usr/bin/msx", "python"}).image, "python");
  EXPECT_EQ(Exe({"msb", "x", "python"}).image, "python");
}

TEST(CommandLineTest, WhatFollowsTheDashesBelongsToTheProgram) {
  const ExeOptions exe = Exe({"msx", "python", "--", "-c", "print(1)", "--", "--help"});
  EXPECT_EQ(exe.arguments, (std::vector<std::string>{"-c", "print(1)", "--", "--help"}));
}

TEST(CommandLineTest, OptionsMayStandOnEitherSideOfTheImage) {
  const ExeOptions exe = Exe({"msx", "--memory", "512", "python", "--disk=2G", "--env", "A=b c",
                              "--env", "D=", "--user", "nobody", "-e", "/bin/true"});
  EXPECT_EQ(exe.image, "python");
  EXPECT_EQ(exe.memory_bytes, 512ull << 20);
  EXPECT_EQ(exe.disk_bytes, 2ull << 30);
  EXPECT_EQ(exe.env, (std::vector<base::Bytes>{"A=b c", "D="}));
  EXPECT_EQ(exe.user, "nobody");
  EXPECT_EQ(exe.exec, "/bin/true");
}

TEST(CommandLineTest, TheImageMayBeAnOptionButNotTwice) {
  EXPECT_EQ(Exe({"msx", "-i", "python"}).image, "python");
  EXPECT_NE(Error({"msx", "-i", "python", "node"}, 125).find("twice"), std::string::npos);
  EXPECT_NE(Error({"msx"}, 125).find("which image"), std::string::npos);
}

TEST(CommandLineTest, BadValuesNameTheOptionAndTheValue) {
  EXPECT_NE(Error({"msx", "p", "--memory", "lots"}, 125).find("lots"), std::string::npos);
  EXPECT_NE(Error({"msx", "p", "--memory", "1"}, 125).find("out of range"), std::string::npos);
  EXPECT_NE(Error({"msx", "p", "--disk", "0"}, 125).find("--disk"), std::string::npos);
  EXPECT_NE(Error({"msx", "p", "--env", "X"}, 125).find("NAME=VALUE"), std::string::npos);
  EXPECT_NE(Error({"msx", "p", "--workdir", "tmp"}, 125).find("absolute"), std::string::npos);
  EXPECT_NE(Error({"msx", "p", "--cpus", "0"}, 125).find("--cpus"), std::string::npos);
  EXPECT_NE(Error({"msx", "p", "--nonsense"}, 125).find("--nonsense"), std::string::npos);
  EXPECT_NE(Error({"msx", "p", "--engine", "vz"}, 125).find("--engine"), std::string::npos);
}

TEST(CommandLineTest, AnUnknownCommandIsAUsageError) {
  EXPECT_NE(Error({"msb", "frobnicate"}, 2).find("frobnicate"), std::string::npos);
}

TEST(CommandLineTest, HelpIsNoError) {
  EXPECT_NE(Error({"msb", "--help"}, 0).find("exe"), std::string::npos);
  EXPECT_NE(Error({"msb"}, 0).find("exe"), std::string::npos);
  EXPECT_NE(Error({"msb", "exe", "--help"}, 0).find("--memory"), std::string::npos);
}

TEST(CommandLineTest, ImageTakesItsArgumentsAsTheyAre) {
  const auto parsed = Parse({"msb", "image", "import", "x.tar", "--tag", "y", "--", "z"});
  const auto& image = std::get<ImageOptions>(std::get<CommandLine>(parsed).command);
  EXPECT_EQ(image.arguments,
            (std::vector<std::string>{"import", "x.tar", "--tag", "y", "--", "z"}));
}

TEST(CommandLineTest, MessageLevelsMayStandAnywhere) {
  const auto parsed = Parse({"msb", "exe", "python", "--debug"});
  EXPECT_EQ(std::get<CommandLine>(parsed).log_level, base::LogLevel::kDebug);
}

}  // namespace
}  // namespace msb::cli
