// CommandDescription: what a command line may hold, taken from the parser's own definition (CLI11),
// so that parsing, help and completion have one source. As JSON it is what msb asks its programs
// for, the parsers of `msb image` and `msb server`. Pure functions; any thread.
#pragma once

#include <boost/describe.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace msb::base {

struct OptionDescription {
  std::vector<std::string> names;  // "-e", "--exec"
  std::string text;                // one line
  bool takes_value = false;
};
BOOST_DESCRIBE_STRUCT(OptionDescription, (), (names, text, takes_value))

struct CommandDescription {
  std::vector<std::string> names;  // "exe", "x"; of a whole program none
  std::string text;
  std::vector<OptionDescription> options;
  std::string positional;  // what its words are: "IMAGE", "NAME" (of sandboxes); empty: none
  std::vector<CommandDescription> commands;
};
BOOST_DESCRIBE_STRUCT(CommandDescription, (), (names, text, options, positional, commands))

// With its commands, and theirs.
CommandDescription Describe(const CLI::App& app);

// A program that is given this alone prints its description, as JSON.
inline constexpr std::string_view kDescribeFlag = "--describe-commands";

}  // namespace msb::base
