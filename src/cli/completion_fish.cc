// Completion for fish.
#include <fmt/format.h>

#include "src/cli/completion.h"

namespace msb::cli {
namespace {

using base::CommandDescription;
using base::OptionDescription;

// __msb_at PATH...: the line's commands begin so; __msb_just PATH...: and there are no more words.
constexpr const char* kFish = R"sh(function __msb_words
    set -l words (commandline -opc)[2..-1]
    string match -v -- '-*' $words
end
function __msb_at
    set -l words (__msb_words)
    for path in $argv
        set -l parts (string split -n ' ' -- $path)
        test (count $words) -ge (count $parts); or continue
        test (count $parts) -eq 0; and return 0
        test "$words[1..$(count $parts)]" = "$path"; and return 0
    end
    return 1
end
function __msb_just
    set -l words (__msb_words)
    contains -- "$words" $argv
end
function __msb_sandboxes
    command msb ps $argv 2>/dev/null | sed -n '2,$s/ .*//p'
end
function __msb_images
    command msb image ls -q 2>/dev/null
end
# __msb_of_server DEFAULT [all]: the names in the namespace that the line gives.
function __msb_of_server
    set -l space $argv[1]
    set -l words (commandline -opc)
    for i in (seq (count $words))
        switch $words[$i]
            case -n --namespace
                test $i -lt (count $words); and set space $words[(math $i + 1)]
            case '--namespace=*'
                set space (string replace -- '--namespace=' '' $words[$i])
        end
    end
    set -l rows (command msb server list -n $space 2>/dev/null)[2..-1]
    contains all $argv; or set rows (string match -v -r -- '^\S+\s+\S+\s+stopped\s' $rows)
    string replace -r -- '^\S+\s+(\S+).*' '$1' $rows
end
function __msb_namespaces
    command msb server list 2>/dev/null | sed -n '2,$s/ .*//p' | sort -u
end
complete -c msb -f
complete -c msx -f -w 'msb exe'
)sh";

std::string Listed(const std::string& kind) {
  if (kind == "images") return "(__msb_images)";
  if (kind == "sandboxes") return "(__msb_sandboxes)";
  if (kind == "all_sandboxes") return "(__msb_sandboxes -a)";
  if (kind == "any_of_server") return "(__msb_of_server \"*\")";
  if (kind == "running_of_server") return "(__msb_of_server default)";
  if (kind == "all_of_server") return "(__msb_of_server default all)";
  if (kind == "namespaces") return "(__msb_namespaces)";
  if (kind == "engines") return "auto uml";
  if (kind == "shells") return "bash zsh fish";
  return "";
}

// A condition: `__msb_at "exe" "x"`.
std::string If(const char* test, const PlacedCommand& placed) {
  return Quoted(fmt::format("{} \"{}\"", test, Joined(placed.paths, "\" \"")));
}

std::string Option(const std::string& condition, const OptionDescription& option) {
  std::string out = fmt::format("complete -c msb -n {}", condition);
  for (const std::string& name : option.names) {
    const bool is_long = name.starts_with("--");
    out += fmt::format(" -{} {}", is_long ? 'l' : 's', name.substr(is_long ? 2 : 1));
  }
  if (option.takes_value) {
    const std::string kind = ValuesOf(option.names.back());
    out += kind == "files" ? " -r -F" : fmt::format(" -x -a {}", Quoted(Listed(kind)));
  }
  return out + fmt::format(" -d {}\n", Quoted(option.text));
}

}  // namespace

std::string FishScript(const CommandDescription& msb) {
  std::string out = kFish;
  for (const PlacedCommand& placed : PlaceCommands(msb)) {
    const std::string at = If("__msb_at", placed);
    const std::string just = If("__msb_just", placed);
    const bool whole = placed.command == &msb;  // its options stand before any command
    for (const OptionDescription& option : placed.command->options) {
      out += Option(whole ? just : at, option);
    }
    for (const CommandDescription& below : placed.command->commands) {
      out += fmt::format("complete -c msb -n {} -a {} -d {}\n", just, below.names.front(),
                         Quoted(below.text));
    }
    const std::string kind = WordsOf(placed);
    const std::string words = Listed(kind);
    if (!words.empty()) out += fmt::format("complete -c msb -n {} -a {}\n", at, Quoted(words));
    if (kind == "files") out += fmt::format("complete -c msb -n {} -F\n", at);
  }
  return out;
}

}  // namespace msb::cli
