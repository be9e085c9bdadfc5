#include "src/cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "src/base/json.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"
#include "src/cli/helper_program.h"

namespace msb::cli {
namespace {

using base::CommandDescription;

void Place(const CommandDescription& command, const std::vector<std::string>& above,
           std::vector<PlacedCommand>& out) {
  PlacedCommand placed{.paths = {}, .command = &command};
  for (const std::string& name : command.names) {
    for (const std::string& path : above) {
      placed.paths.push_back(path.empty() ? name : path + " " + name);
    }
  }
  if (command.names.empty()) placed.paths = {""};
  const std::vector<std::string> paths = placed.paths;
  out.push_back(std::move(placed));
  for (const CommandDescription& below : command.commands) Place(below, paths, out);
}

CommandDescription* Find(CommandDescription& among, std::string_view name) {
  const auto found = std::ranges::find_if(among.commands, [&](const CommandDescription& command) {
    return command.names.front() == name;
  });
  return found == among.commands.end() ? nullptr : &*found;
}

base::Result<CommandDescription> Ask(const std::string& program) {
  return base::json::Parse<CommandDescription>(
      TRY(OutputOf(program, {std::string(base::kDescribeFlag)})));
}

void PutBelow(CommandDescription& msb, std::string_view name, CommandDescription description) {
  CommandDescription* const command = Find(msb, name);
  description.names = command->names;
  description.text = command->text;
  *command = std::move(description);
}

// msb's own commands, and those of the programs that parse the rest themselves.
base::Result<CommandDescription> DescribeAll() {
  CommandDescription msb = DescribeCommands();
  PutBelow(msb, "image", TRY(Ask("msb-image")));
  CommandDescription server = TRY(Ask("msb-server"));
  if (const CommandDescription* mcp = Find(server, "mcp")) PutBelow(msb, "mcp", *mcp);
  PutBelow(msb, "server", std::move(server));
  return msb;
}

}  // namespace

std::vector<PlacedCommand> PlaceCommands(const CommandDescription& msb) {
  std::vector<PlacedCommand> placed;
  Place(msb, {""}, placed);
  return placed;
}

std::string WordsOf(const PlacedCommand& placed) {
  const std::string& path = placed.paths.front();
  const std::string& positional = placed.command->positional;
  if (positional == "IMAGE") return "images";
  if (positional == "SHELL") return "shells";
  if (positional == "ARCHIVE" || positional == "ROOTFS" || path == "cp") return "files";
  if (positional != "NAME") return "none";
  if (path == "server status") return "any_of_server";
  if (path == "server log") return "all_of_server";
  if (path.starts_with("server ")) return "running_of_server";
  return path == "logs" || path == "rm" ? "all_sandboxes" : "sandboxes";
}

std::string ValuesOf(const std::string& option) {
  if (option == "--image" || option == "--allow-image") return "images";
  if (option == "--namespace") return "namespaces";
  if (option == "--engine") return "engines";
  return "files";
}

std::string Joined(const std::vector<std::string>& words, const char* separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string CompletionScript(Shell shell, const CommandDescription& msb) {
  switch (shell) {
    case Shell::kBash:
      return BashScript(msb);
    case Shell::kZsh:
      return ZshScript(msb);
    case Shell::kFish:
      return FishScript(msb);
  }
  return "";
}

int RunCompletion(const CompletionOptions& options) {
  const auto msb = DescribeAll();
  if (!msb) return Complain(msb.error().message(), kFailure);
  std::fputs(CompletionScript(options.shell, *msb).c_str(), stdout);
  return 0;
}

}  // namespace msb::cli
