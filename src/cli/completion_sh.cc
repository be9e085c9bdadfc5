// Completion for bash and zsh.
#include <fmt/format.h>

#include "src/cli/completion.h"

namespace msb::cli {
namespace {

using base::CommandDescription;
using base::OptionDescription;

// One arm of a case a command, by its paths: what `words` makes of it.
template <typename Words>
std::string Cases(const std::vector<PlacedCommand>& commands, Words words) {
  std::string out;
  for (const PlacedCommand& placed : commands) {
    const std::string made = words(placed);
    if (made.empty()) continue;
    std::string patterns;
    for (const std::string& path : placed.paths) {
      patterns += (patterns.empty() ? "" : "|") + Quoted(path);
    }
    out += fmt::format("    {}) echo {} ;;\n", patterns, Quoted(made));
  }
  return out;
}

template <typename Words>
std::string Function(const char* name, const std::vector<PlacedCommand>& commands, Words words) {
  return fmt::format("{}() {{\n  case $1 in\n{}  esac\n}}\n", name, Cases(commands, words));
}

std::string OptionWords(const PlacedCommand& placed) {
  std::vector<std::string> words;
  for (const OptionDescription& option : placed.command->options) {
    words.insert(words.end(), option.names.begin(), option.names.end());
  }
  return Joined(words, " ");
}

// "-i=images --image=images": what is to be given after which.
std::string ValueWords(const PlacedCommand& placed) {
  std::vector<std::string> words;
  for (const OptionDescription& option : placed.command->options) {
    if (!option.takes_value) continue;
    for (const std::string& name : option.names) {
      words.push_back(name + "=" + ValuesOf(option.names.back()));
    }
  }
  return Joined(words, " ");
}

std::string CommandWords(const PlacedCommand& placed) {
  std::vector<std::string> words;
  for (const CommandDescription& below : placed.command->commands) {
    words.push_back(below.names.front());
  }
  return Joined(words, " ");
}

// Which words there may be, by the words before. Prints them, or "files".
constexpr const char* kCandidates = R"sh(_msb_names() {
  case $1 in
    images) command msb image ls -q 2>/dev/null ;;
    sandboxes) command msb ps 2>/dev/null | sed -n '2,$s/ .*//p' ;;
    all_sandboxes) command msb ps -a 2>/dev/null | sed -n '2,$s/ .*//p' ;;
    any_of_server) command msb server list -n "${2:-*}" 2>/dev/null | awk 'NR > 1 && $3 != "stopped" { print $2 }' ;;
    running_of_server) command msb server list -n "${2:-default}" 2>/dev/null | awk 'NR > 1 && $3 != "stopped" { print $2 }' ;;
    all_of_server) command msb server list -n "${2:-default}" 2>/dev/null | awk 'NR > 1 { print $2 }' ;;
    namespaces) command msb server list 2>/dev/null | awk 'NR > 1 { print $1 }' | sort -u ;;
    shells) echo 'bash zsh fish' ;;
    engines) echo 'auto uml' ;;
    files) echo files ;;
  esac
}
# _msb_candidates CURRENT PROGRAM WORD...: for the word CURRENT after these.
_msb_candidates() {
  local current=$1 program=$2 command='' space='' kind='' word
  shift 2
  [ "${program##*/}" != msx ] || command=exe
  for word in "$@"; do
    if [ -n "$kind" ]; then
      [ "$kind" != namespaces ] || space=$word
      kind=''
      continue
    fi
    case $word in
      --) echo files; return ;;
      --namespace=*) space=${word#*=} ;;
      -*)
        kind=" $(_msb_values "$command")"
        case $kind in
          *" $word="*) kind=${kind#*" $word="}; kind=${kind%% *} ;;
          *) kind='' ;;
        esac
        ;;
      *) command=$(_msb_command "${command:+$command }$word" "$command") ;;
    esac
  done
  if [ -n "$kind" ]; then _msb_names "$kind"; return; fi
  case $current in
    -*) _msb_options "$command"; return ;;
  esac
  [ "$command" != help ] || command=''
  case $command in
    *' help') command=${command% help} ;;
  esac
  word=$(_msb_commands "$command")
  if [ -n "$word" ]; then echo "$word"; else _msb_names "$(_msb_kind "$command")" "$space"; fi
}
)sh";

// What bash and zsh share, in sh's language as far as both speak it.
std::string SharedFunctions(const CommandDescription& msb) {
  const std::vector<PlacedCommand> commands = PlaceCommands(msb);
  std::string out = Function("_msb_options", commands, OptionWords);
  out += Function("_msb_values", commands, ValueWords);
  out += Function("_msb_kind", commands, WordsOf);
  out += Function("_msb_commands", commands, CommandWords);
  // The command that a path leads to; another word is an argument of the command before it.
  out += "_msb_command() {\n  case $1 in\n";
  out += Cases(commands, [](const PlacedCommand& placed) { return placed.paths.front(); });
  return out + "    *) echo \"$2\" ;;\n  esac\n}\n" + kCandidates;
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

}  // namespace

std::string BashScript(const CommandDescription& msb) { return SharedFunctions(msb) + kBash; }

std::string ZshScript(const CommandDescription& msb) { return SharedFunctions(msb) + kZsh; }

}  // namespace msb::cli
