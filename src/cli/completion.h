// Completion scripts for shells, made of the command lines' own descriptions: a command or option
// that is added to a parser is completed without further ado. Names of sandboxes and images are
// asked for when they are completed (`msb ps`, `msb image ls -q`, `msb server list`). Pure
// functions; any thread.
#pragma once

#include <string>
#include <vector>

#include "src/base/command_description.h"
#include "src/cli/command_line.h"

namespace msb::cli {

// `msb`: with all its commands, and theirs.
std::string CompletionScript(Shell shell, const base::CommandDescription& msb);

// --- for the scripts of the several shells
std::string BashScript(const base::CommandDescription& msb);
std::string ZshScript(const base::CommandDescription& msb);
std::string FishScript(const base::CommandDescription& msb);

// A command and how it is reached: each of its names after its parent's: "exe", "x"; "server log".
struct PlacedCommand {
  std::vector<std::string> paths;  // the first with its own name; of msb itself: ""
  const base::CommandDescription* command;
};
// msb first, each before its own commands.
std::vector<PlacedCommand> PlaceCommands(const base::CommandDescription& msb);

// What a word stands for: "images", "files", ...; "none". The scripts know how to list each.
std::string WordsOf(const PlacedCommand& placed);
std::string ValuesOf(const std::string& option);  // of one that takes a value

std::string Joined(const std::vector<std::string>& words, const char* separator);
std::string Quoted(const std::string& text);  // for single quotes of a shell

}  // namespace msb::cli
