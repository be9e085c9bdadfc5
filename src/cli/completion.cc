#include "src/cli/completion.h"

#include <fmt/format.h>

#include <cstdio>

#include "src/cli/commands.h"

namespace msb::cli {
namespace {

// `msb image` is a program of its own: its commands, and what their words are.
constexpr struct {
  const char* name;
  const char* words;
} kImageCommands[] = {
    {"load", "files"}, {"import", "files"}, {"save", "images"}, {"tag", "images"},
    {"ls", "none"},    {"rm", "images"},    {"check", "none"},  {"inspect", "images"},
};
constexpr const char* kImageOptions = " --json --quiet --tag --output --force";

std::string Joined(const std::vector<std::string>& words, const char* separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

// What the words of a command are, as the scripts call it.
std::string WordsOf(const CommandDescription& command) {
  if (command.positional == "IMAGE") return "images";
  if (command.positional == "SHELL") return "shells";
  if (!command.names.empty() && command.names.front() == "cp") return "files";
  if (command.positional != "NAME") return "none";
  const bool ended = command.names.front() == "logs" || command.names.front() == "rm";
  return ended ? "all_sandboxes" : "sandboxes";
}

std::string Patterns(const CommandDescription& command) {
  return command.names.empty() ? "''" : Joined(command.names, "|");
}

// For single quotes of a shell.
std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// One arm of a case a command: what `words` makes of it.
template <typename Words>
std::string Cases(const std::vector<CommandDescription>& commands, Words words) {
  std::string out;
  for (const CommandDescription& command : commands) {
    const std::string made = words(command);
    if (!made.empty()) out += fmt::format("    {}) echo {} ;;\n", Patterns(command), Quoted(made));
  }
  return out;
}

std::string OptionWords(const CommandDescription& command, bool only_with_value) {
  std::vector<std::string> words;
  for (const OptionDescription& option : command.options) {
    if (option.takes_value || !only_with_value) {
      words.insert(words.end(), option.names.begin(), option.names.end());
    }
  }
  return Joined(words, " ");
}

std::string CommandWords(const std::vector<CommandDescription>& commands) {
  std::vector<std::string> words;
  for (const CommandDescription& command : commands) {
    if (!command.names.empty()) words.push_back(command.names.front());
  }
  return Joined(words, " ");
}

std::string ImageCommandCases() {
  std::string out;
  for (const auto& command : kImageCommands) {
    out += fmt::format("    {}) echo {} ;;\n", command.name, command.words);
  }
  return out;
}

std::string ImageCommandWords() {
  std::string out;
  for (const auto& command : kImageCommands) out += fmt::format(" {}", command.name);
  return out.substr(1);
}

// Which words there may be, by the words before. Prints them, or "files".
constexpr const char* kCandidates = R"sh(_msb_names() {
  case $1 in
    images) command msb image ls -q 2>/dev/null ;;
    sandboxes) command msb ps 2>/dev/null | sed -n '2,$s/ .*//p' ;;
    all_sandboxes) command msb ps -a 2>/dev/null | sed -n '2,$s/ .*//p' ;;
    shells) echo 'bash zsh fish' ;;
    files) echo files ;;
  esac
}
# _msb_candidates CURRENT PROGRAM WORD...: for the word CURRENT after these.
_msb_candidates() {
  local current=$1 program=$2 command='' subcommand='' previous='' word
  shift 2
  [ "${program##*/}" != msx ] || command=exe
  for word in "$@"; do
    case $word in
      --) echo files; return ;;
      -*) ;;
      *)
        if [ -z "$command" ]; then command=$word
        elif [ -z "$subcommand" ]; then subcommand=$word
        fi
        ;;
    esac
    previous=$word
  done
  case " $(_msb_options_with_value "$command") " in
    *" ${previous:-none} "*)
      case $previous in
        -i|--image) _msb_names images ;;
        --engine) echo 'auto uml' ;;
        *) echo files ;;
      esac
      return
      ;;
  esac
  case $current in
    -*) _msb_options "$command"; return ;;
  esac
  case $command in
    ''|help) _msb_commands ;;
    image)
      if [ -z "$subcommand" ]; then _msb_image_commands
      else _msb_names "$(_msb_image_kind "$subcommand")"
      fi
      ;;
    *) _msb_names "$(_msb_kind "$command")" ;;
  esac
}
)sh";

// What bash and zsh share, in sh's language as far as both speak it.
std::string SharedFunctions(const std::vector<CommandDescription>& commands) {
  std::string out = "_msb_options() {\n  case $1 in\n";
  out += Cases(commands, [](const auto& command) {
    const bool image = !command.names.empty() && command.names.front() == "image";
    return OptionWords(command, false) + (image ? kImageOptions : "");
  });
  out += "  esac\n}\n_msb_options_with_value() {\n  case $1 in\n";
  out += Cases(commands, [](const auto& command) { return OptionWords(command, true); });
  out += "  esac\n}\n_msb_kind() {\n  case $1 in\n";
  out += Cases(commands, WordsOf);
  out += "  esac\n}\n_msb_image_kind() {\n  case $1 in\n" + ImageCommandCases() + "  esac\n}\n";
  out += fmt::format("_msb_commands() {{ echo '{}'; }}\n", CommandWords(commands));
  out += fmt::format("_msb_image_commands() {{ echo '{}'; }}\n", ImageCommandWords());
  return out + kCandidates;
}

// The words come from the line itself: bash splits at colons, which names of images have.
constexpr const char* kBash = R"sh(_msb() {
  local line=${COMP_LINE:0:COMP_POINT} current='' before candidates candidate
  read -ra before <<<"$line"
  if [[ $line != *[[:space:]] ]]; then
    current=${before[-1]}
    unset 'before[-1]'
  fi
  candidates=$(_msb_candidates "$current" "${before[@]}")
  COMPREPLY=()
  if [[ $candidates != files ]]; then
    compopt +o default 2>/dev/null
    # Not compgen -W, which would expand what stands in a name.
    while read -r candidate; do
      [[ -n $candidate && $candidate == "$current"* ]] && COMPREPLY+=("$candidate")
    done < <(tr -s ' ' '\n' <<<"$candidates")
    if [[ $current == *:* ]]; then
      COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*:}"}"}")
    fi
  fi
}
complete -o default -F _msb msb msx
)sh";

constexpr const char* kZsh = R"sh(_msb() {
  emulate -L zsh
  local candidates
  candidates=$(_msb_candidates "${words[CURRENT]}" "${(@)words[1,CURRENT-1]}")
  if [[ $candidates == files ]]; then
    _files
  else
    compadd -- ${=candidates}
  fi
}
compdef _msb msb msx
)sh";

constexpr const char* kFish = R"sh(function __msb_sandboxes
    command msb ps $argv 2>/dev/null | sed -n '2,$s/ .*//p'
end
function __msb_images
    command msb image ls -q 2>/dev/null
end
complete -c msb -f
complete -c msx -f -w 'msb exe'
)sh";

std::string FishWords(const std::string& kind) {
  if (kind == "images") return "(__msb_images)";
  if (kind == "sandboxes") return "(__msb_sandboxes)";
  if (kind == "all_sandboxes") return "(__msb_sandboxes -a)";
  if (kind == "shells") return "bash zsh fish";
  return "";
}

std::string FishOption(const std::string& condition, const OptionDescription& option) {
  std::string out = fmt::format("complete -c msb -n '{}'", condition);
  for (const std::string& name : option.names) {
    const bool is_long = name.starts_with("--");
    out += fmt::format(" -{} {}", is_long ? 'l' : 's', name.substr(is_long ? 2 : 1));
  }
  if (option.takes_value) out += " -r";
  if (option.names.back() == "--image") out += " -a '(__msb_images)'";
  return out + fmt::format(" -d {}\n", Quoted(option.text));
}

std::string Fish(const std::vector<CommandDescription>& commands) {
  std::string out = kFish;
  for (const CommandDescription& command : commands) {
    if (command.names.empty()) continue;
    out += fmt::format("complete -c msb -n __fish_use_subcommand -a {} -d {}\n",
                       command.names.front(), Quoted(command.text));
    const std::string here = "__fish_seen_subcommand_from " + Joined(command.names, " ");
    for (const OptionDescription& option : command.options) out += FishOption(here, option);
    const std::string words = FishWords(WordsOf(command));
    if (!words.empty()) out += fmt::format("complete -c msb -n '{}' -a '{}'\n", here, words);
    if (WordsOf(command) == "files") out += fmt::format("complete -c msb -n '{}' -F\n", here);
  }
  for (const auto& command : kImageCommands) {
    const std::string here = "__fish_seen_subcommand_from image; and ";
    out += fmt::format("complete -c msb -n '{}not __fish_seen_subcommand_from {}' -a {}\n", here,
                       ImageCommandWords(), command.name);
    const std::string there = fmt::format("{}__fish_seen_subcommand_from {}", here, command.name);
    const std::string words = FishWords(command.words);
    if (!words.empty()) out += fmt::format("complete -c msb -n '{}' -a '{}'\n", there, words);
    if (std::string_view(command.words) == "files") {
      out += fmt::format("complete -c msb -n '{}' -F\n", there);
    }
  }
  return out;
}

}  // namespace

std::string CompletionScript(Shell shell, const std::vector<CommandDescription>& commands) {
  switch (shell) {
    case Shell::kBash:
      return SharedFunctions(commands) + kBash;
    case Shell::kZsh:
      return SharedFunctions(commands) + kZsh;
    case Shell::kFish:
      return Fish(commands);
  }
  return "";
}

int RunCompletion(const CompletionOptions& options) {
  std::fputs(CompletionScript(options.shell, DescribeCommands()).c_str(), stdout);
  return 0;
}

}  // namespace msb::cli
