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

TEST(CommandLineTest, ACpuListIsParsedAndItsErrorsQuoteThePart) {
  EXPECT_TRUE(Exe({"msx", "p"}).cpu_list.empty());
  EXPECT_EQ(Exe({"msx", "p", "--cpu-list", "0,2-3"}).cpu_list, base::CpuList({0, 2, 3}));
  EXPECT_NE(Error({"msx", "p", "--cpu-list", "0,x"}, 125).find("\"x\" is neither"),
            std::string::npos);
  EXPECT_NE(Error({"msx", "p", "--cpu-list", ""}, 125).find("--cpu-list"), std::string::npos);
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
  EXPECT_EQ(Error({"msb", "help"}, 0), Error({"msb", "--help"}, 0));
  EXPECT_EQ(Error({"msb", "help", "exe"}, 0), Error({"msb", "exe", "--help"}, 0));
  EXPECT_NE(Error({"msb", "help", "frobnicate"}, 2).find("frobnicate"), std::string::npos);
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

template <typename Options>
Options Command(std::vector<const char*> argv) {
  const auto parsed = Parse(std::move(argv));
  if (const auto* leave = std::get_if<Leave>(&parsed)) {
    ADD_FAILURE() << leave->text;
    return {};
  }
  return std::get<Options>(std::get<CommandLine>(parsed).command);
}

TEST(CommandLineTest, ADetachedSandboxHasANameAndLimits) {
  const ExeOptions exe = Exe(
      {"msb", "exe", "-d", "--name", "box", "--lifetime", "10m", "--idle", "90s", "-t", "base"});
  EXPECT_TRUE(exe.detach);
  EXPECT_TRUE(exe.tty);
  EXPECT_EQ(exe.name, "box");
  EXPECT_EQ(exe.lifetime_ms, 600'000u);
  EXPECT_EQ(exe.idle_ms, 90'000u);
}

TEST(CommandLineTest, WhatOnlyADetachedSandboxHasIsRefusedWithout) {
  EXPECT_NE(Error({"msx", "base", "-t"}, 125).find("add -d"), std::string::npos);
  EXPECT_NE(Error({"msx", "-d", "--name", "a/b", "base"}, 125).find("\"a/b\""), std::string::npos);
  EXPECT_NE(Error({"msx", "--lifetime", "soon", "base"}, 125).find("\"soon\""), std::string::npos);
}

TEST(CommandLineTest, ExecTakesItsProgramAfterTheDashesOrPlain) {
  const auto dashes = Command<ExecOptions>(
      {"msb", "exec", "-it", "box", "--user", "nobody", "--", "ls", "-l", "--", "x"});
  EXPECT_EQ(dashes.sandbox, "box");
  EXPECT_TRUE(dashes.input && dashes.tty);
  EXPECT_EQ(dashes.user, "nobody");
  EXPECT_EQ(dashes.arguments, (std::vector<std::string>{"ls", "-l", "--", "x"}));
  const auto plain = Command<ExecOptions>({"msb", "exec", "box", "ls", "/"});
  EXPECT_EQ(plain.arguments, (std::vector<std::string>{"ls", "/"}));
  EXPECT_FALSE(plain.input || plain.tty);
  EXPECT_NE(Error({"msb", "exec", "box"}, 125).find("which program"), std::string::npos);
  EXPECT_NE(Error({"msb", "exec", "box", "ls", "-l"}, 125).find("after --"), std::string::npos);
}

TEST(CommandLineTest, TheCommandsOfSandboxesHaveTheirOptions) {
  EXPECT_TRUE(Command<PsOptions>({"msb", "ps", "-a", "--json"}).json);
  const auto logs = Command<LogsOptions>({"msb", "logs", "-f", "-t", "5", "box"});
  EXPECT_TRUE(logs.follow);
  EXPECT_EQ(logs.tail, 5u);
  const auto stop = Command<StopOptions>({"msb", "stop", "a", "b", "-t", "3"});
  EXPECT_EQ(stop.sandboxes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(stop.grace_s, 3u);
  EXPECT_TRUE(Command<RemoveOptions>({"msb", "rm", "-a"}).all);
  EXPECT_FALSE(Command<AttachOptions>({"msb", "attach", "--no-stdin", "box"}).input);
}

TEST(CommandLineTest, AWrongCommandLineIsUsageAndPointsToTheCommandsHelp) {
  EXPECT_NE(Error({"msb", "stop"}, 2).find("msb stop --help"), std::string::npos);
  Error({"msb", "rm"}, 2);
  Error({"msb", "rm", "-a", "box"}, 2);
  Error({"msb", "stop", "-t", "-1", "box"}, 2);
  EXPECT_NE(Error({"msb", "ps", "--", "x"}, 2).find("nothing after --"), std::string::npos);
}

TEST(CommandLineTest, ACopyHasOneSideInASandboxAndTheOtherMayBeAStream) {
  const auto parsed = Parse({"msb", "cp", "-r", "--user", "nobody", "-", "box:srv"});
  const auto& copy = std::get<CopyOptions>(std::get<CommandLine>(parsed).command);
  EXPECT_TRUE(copy.source.stream());
  EXPECT_EQ(copy.destination.sandbox, "box");
  EXPECT_EQ(copy.destination.path, "/srv");
  EXPECT_TRUE(copy.recursive);
  EXPECT_EQ(copy.user, "nobody");
  EXPECT_NE(Error({"msb", "cp", "a", "b"}, 2).find("NAME:PATH"), std::string::npos);
  EXPECT_NE(Error({"msb", "cp", "a:x", "b:y"}, 2).find("tar"), std::string::npos);
  Error({"msb", "cp", "a:x"}, 2);
}

}  // namespace
}  // namespace msb::cli
