#include "src/base/command_description.h"

#include <CLI/CLI.hpp>

namespace msb::base {
namespace {

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

OptionDescription DescribeOption(const CLI::Option& option) {
  OptionDescription described;
  for (const std::string& name : option.get_snames()) described.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) described.names.push_back("--" + name);
  described.text = FirstLine(option.get_description());
  described.takes_value = option.get_items_expected_max() > 0;
  return described;
}

}  // namespace

CommandDescription Describe(const CLI::App& app) {
  CommandDescription command;
  command.text = FirstLine(app.get_description());
  for (const CLI::Option* option : app.get_options()) {
    if (option->nonpositional()) {
      command.options.push_back(DescribeOption(*option));
    } else if (command.positional.empty()) {
      command.positional = option->get_name();
    }
  }
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; })) {
    CommandDescription& described = command.commands.emplace_back(Describe(*below));
    described.names = {below->get_name()};
    const auto& aliases = below->get_aliases();
    described.names.insert(described.names.end(), aliases.begin(), aliases.end());
  }
  return command;
}

}  // namespace msb::base
