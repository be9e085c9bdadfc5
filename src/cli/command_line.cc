#include "src/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <sstream>

#include "src/base/quantities.h"
#include "src/cli/exit_codes.h"

#include "src/sandbox/environment.h"
#include "src/sandbox/names.h"

namespace msb::cli {
namespace {

// A CLI11 validator out of a parser of ours.
template <typename Parse>
CLI::Validator Checked(Parse parse, const char* name) {
  return CLI::Validator(
      [parse](std::string& text) {
        const auto value = parse(text);
        return value ? std::string() : value.error().message();
      },
      name);
}

base::Status InRange(const std::string& text, uint64_t least, uint64_t most, const char* what) {
  const uint64_t size = TRY(base::ParseSize(text));
  if (size >= least && size <= most) return {};
  return base::Fail(base::ErrorCode::kInvalid, "{} {} is out of range: {} MiB to {} MiB", what,
                    text, least >> 20, most >> 20);
}

constexpr uint32_t kMaxGrace_s = 86400;

// What CLI11 fills in before it is checked and converted.
struct ExeText {
  std::string positional_image;
  std::string image;
  std::string memory = "1024";
  std::string disk = "8G";
  std::string cpu_list;
  std::string lifetime;
  std::string idle;
  std::vector<std::string> env;
};

struct ExecText {
  std::vector<std::string> program;  // without "--"
  std::vector<std::string> env;
};

struct CopyText {
  std::string source;
  std::string destination;
};

class Parser {
 public:
  Parser() : app_("Runs untrusted code in sandboxes with a Linux kernel of their own", "msb") {
    app_.require_subcommand(0, 1);
    app_.set_help_flag("-h,--help", "Print this help");
    app_.add_flag_callback(
        "-V,--version",
        [this] {
          line_.command = VersionOptions{};
          version_ = true;
        },
        "Print the version");
    AddLevels();
    AddExe();
    AddExec();
    AddAttach();
    AddCopy();
    AddPs();
    AddLogs();
    AddStop();
    AddRemove();
    AddResume();
    AddImageAndServer();
    AddCompletion();
    CLI::App* doctor = app_.add_subcommand(
        "doctor", "Say what this host can run, what is missing and how to mend it");
    doctor->add_flag("--json", doctor_.json, "Machine-readable");
    doctor->callback([this] { line_.command = doctor_; });
    app_.add_subcommand("help", "Print this help, or that of a command: help COMMAND");
    app_.add_subcommand("version", "Print the version")->callback([this] {
      line_.command = VersionOptions{};
    });
  }

  base::CommandDescription Describe() const { return base::Describe(app_); }

  std::variant<CommandLine, Leave> Parse(std::vector<std::string> arguments) {
    const auto command =
        std::find_if(arguments.begin(), arguments.end(),
                     [](const std::string& word) { return !word.starts_with('-'); });
    if (command != arguments.end() && *command == "help") {  // `help exe` is `exe --help`
      const auto topic = arguments.erase(command);
      const auto is_topic = [&](const CLI::App* app) { return app->check_name(*topic); };
      const bool known = topic == arguments.end() || !app_.get_subcommands(is_topic).empty();
      if (known) arguments.push_back("--help");
      return Parse(std::move(arguments));
    }
    const std::string name = command == arguments.end() ? "" : *command;
    const bool exe = name == "exe" || name == "x";
    // What runs a program leaves its exit codes to it.
    const bool runs = exe || name == "exec" || name == "attach";
    if (name == "image" || name == "server" || name == "mcp") {
      // As they are: msb-image and msb-server parse them. `msb mcp` is one of msb-server's.
      auto& passed = name == "image" ? image_.arguments : server_.arguments;
      passed.assign(command + (name == "mcp" ? 0 : 1), arguments.end());
      arguments.erase(command + 1, arguments.end());
    } else if (const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
               dashes != arguments.end()) {
      after_dashes_.assign(dashes + 1, arguments.end());
      arguments.erase(dashes, arguments.end());
    }
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    try {
      app_.parse(arguments);
      if (app_.get_subcommands().empty() && !version_) throw CLI::CallForHelp();
      if (auto* options = std::get_if<ExeOptions>(&line_.command)) return FinishExe(*options);
      if (auto* options = std::get_if<ExecOptions>(&line_.command)) return FinishExec(*options);
      if (!after_dashes_.empty()) {
        return Leave{fmt::format("msb: error: {} takes nothing after --\n", name), kUsage};
      }
      return line_;
    } catch (const CLI::ParseError& error) {
      std::ostringstream out, complaint;
      const int code = app_.exit(error, out, complaint);
      if (code == 0) return Leave{out.str(), 0};
      const bool extras = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
      const char* hint = runs && extras ? "\nWhat is meant for the program stands after --" : "";
      return Leave{"msb: error: " + std::string(error.what()) + hint + "\nTry: msb " +
                       (app_.get_subcommands().empty() ? "" : name + " ") + "--help\n",
                   runs ? kOwnFailure : kUsage};
    }
  }

 private:
  void AddLevels() {
    const auto level = [this](const char* flag, base::LogLevel value, const char* text) {
      app_.add_flag_callback(
              flag, [this, value] { line_.log_level = value; }, text)
          ->group("Messages");
    };
    level("--error", base::LogLevel::kError, "Print errors only");
    level("--warn", base::LogLevel::kWarning, "… and warnings (default)");
    level("--info", base::LogLevel::kInfo, "… and what is done");
    level("--debug", base::LogLevel::kDebug, "… and when, by phase");
    level("--trace", base::LogLevel::kTrace, "Print everything");
    app_.fallthrough();  // they may stand after the command, too
  }

  void AddExe() {
    CLI::App* exe =
        app_.add_subcommand("exe",
                            "Run a program of an image in a temporary sandbox, gone at exit\n"
                            "(also: x, msx). Arguments after -- are appended to the program.");
    exe->alias("x");
    exe->add_option("IMAGE", exe_text_.positional_image, "Name of an image (msb image ls)");
    exe->add_option("-i,--image", exe_text_.image, "The same, as an option");
    exe->add_option("-e,-x,--exec", exe_.exec,
                    "Program to run instead of the image's (one word, found by PATH)");
    exe->add_option("--cpus", exe_.cpus, "Virtual CPUs (default 1)")->check(CLI::Range(1, 256));
    exe->add_option("--cpu-list", exe_text_.cpu_list,
                    "CPUs of the host it may run on, as 0,2-3 (default: all that msb may use)")
        ->check(Checked([](const std::string& t) { return base::ParseCpuList(t); }, "LIST"));
    exe->add_option("--memory", exe_text_.memory, "MiB, or with K, M, G (default 1024)")
        ->check(Checked(
            [](const std::string& t) { return InRange(t, kMinMemory, kMaxMemory, "memory"); },
            "SIZE"));
    exe->add_option("--disk", exe_text_.disk, "Writable disk: a hard limit (default 8G)")
        ->check(Checked(
            [](const std::string& t) {
              return InRange(t, image::kMinDiskBytes, image::kMaxDiskBytes, "disk");
            },
            "SIZE"));
    AddEnv(exe, exe_text_.env, "image");
    AddWorkdir(exe, exe_.workdir, "the image's, or /");
    exe->add_option("--user", exe_.user,
                    "User or user:group, names or numbers (default: the image's, or root)");
    exe->add_option("--engine", exe_.engine, "auto or uml (kvm: not in this version)")
        ->transform(CLI::Transformer(std::map<std::string, Engine>{
            {"auto", Engine::kAuto}, {"uml", Engine::kUml}, {"kvm", Engine::kKvm}}))
        ->option_text("ENGINE");
    exe->add_flag("-d,--detach", exe_.detach,
                  "Start it, print its name, and leave it running (msb ps, logs, exec, stop)");
    exe->add_option("--name", exe_.name, "Its name (default: made up)")
        ->check(Checked(
            [](const std::string& t) -> base::Status {
              if (sandbox::IsSandboxName(t)) return {};
              return base::Fail(base::ErrorCode::kInvalid,
                                "name \"{}\": 1 to 63 letters, digits, - and _, the first a letter "
                                "or digit",
                                t);
            },
            "NAME"));
    exe->add_flag("-t,--tty", exe_.tty, "With -d: give it a terminal, for msb attach");
    AddDuration(exe, "--lifetime", exe_text_.lifetime, "End it after so long (90s, 10m, 2h …)");
    AddDuration(exe, "--idle", exe_text_.idle,
                "End it when nobody has used it for so long (with -d)");
    exe->callback([this] { line_.command = exe_; });
  }

  static void AddEnv(CLI::App* command, std::vector<std::string>& into, const char* whose) {
    command
        ->add_option("--env", into,
                     fmt::format("NAME=VALUE, over the {}'s; may be repeated", whose))
        ->allow_extra_args(false)
        ->check(Checked([](const std::string& t) { return sandbox::ParseEnv(t); }, "NAME=VALUE"));
  }

  static void AddWorkdir(CLI::App* command, std::string& into, const char* otherwise) {
    command
        ->add_option("--workdir", into,
                     fmt::format("Directory to start in (default: {})", otherwise))
        ->check(Checked(
            [](const std::string& t) -> base::Status {
              if (t.starts_with('/')) return {};
              return base::Fail(base::ErrorCode::kInvalid,
                                "workdir \"{}\" is not absolute: it must start with /", t);
            },
            "PATH"));
  }

  static void AddDuration(CLI::App* command, const char* flag, std::string& into,
                          const char* description) {
    command->add_option(flag, into, description)
        ->check(Checked([](const std::string& t) { return base::ParseDuration(t); }, "DURATION"));
  }

  void AddExec() {
    CLI::App* exec = app_.add_subcommand("exec", "Run a further program in a sandbox that runs");
    exec->add_option("NAME", exec_.sandbox, "The sandbox")->required();
    exec->add_option("PROGRAM", exec_text_.program, "The program; with options, after --");
    exec->add_flag("-i,--interactive", exec_.input, "Give it this command's standard input");
    exec->add_flag("-t,--tty", exec_.tty, "Give it a terminal");
    AddEnv(exec, exec_text_.env, "sandbox");
    AddWorkdir(exec, exec_.workdir, "the sandbox's");
    exec->add_option("--user", exec_.user, "User or user:group (default: the sandbox's)");
    exec->callback([this] { line_.command = exec_; });
  }

  void AddAttach() {
    CLI::App* attach = app_.add_subcommand(
        "attach",
        "Join the program of a detached sandbox: its output from now on, and its input.\n"
        "On a terminal Ctrl-P Ctrl-Q leaves it running.");
    attach->add_option("NAME", attach_.sandbox, "The sandbox")->required();
    attach->add_flag_callback("--no-stdin", [this] { attach_.input = false; }, "Output only");
    attach->callback([this] { line_.command = attach_; });
  }

  void AddCopy() {
    CLI::App* copy = app_.add_subcommand(
        "cp",
        "Copy files out of a sandbox, or into one. One side is NAME:PATH; - as the other\n"
        "is a tar stream on standard input or output. A directory as DST is copied into,\n"
        "DIR/. as SRC is what is in DIR.");
    copy->add_option("SRC", copy_text_.source, "What to copy")->required();
    copy->add_option("DST", copy_text_.destination, "Where to, or the new name")->required();
    copy->add_flag("-r,-R,--recursive", copy_.recursive, "Directories, with all that is in them");
    copy->add_flag("-q,--quiet", copy_.quiet, "No progress");
    copy->add_option("--user", copy_.user,
                     "Whose files they are in the sandbox, with whose rights (default: root)");
    copy->callback([this] {
      copy_.source = ParseCopySide(copy_text_.source);
      copy_.destination = ParseCopySide(copy_text_.destination);
      if (base::Status checked = CheckCopySides(copy_.source, copy_.destination); !checked) {
        throw CLI::ValidationError("cp", checked.error().message());
      }
      line_.command = copy_;
    });
  }

  void AddPs() {
    CLI::App* ps = app_.add_subcommand("ps", "List the sandboxes that run");
    ps->add_flag("-a,--all", ps_.all, "… and those that have ended and were not removed");
    ps->add_flag("--json", ps_.json, "Machine-readable");
    ps->callback([this] { line_.command = ps_; });
  }

  void AddLogs() {
    CLI::App* logs = app_.add_subcommand("logs", "Print what a detached sandbox's program wrote");
    logs->add_option("NAME", logs_.sandbox, "The sandbox")->required();
    logs->add_flag("-f,--follow", logs_.follow, "Go on until it ends");
    logs->add_option("-t,--tail", logs_.tail, "Only the last so many lines");
    logs->add_flag("--json", logs_.json, "JSON lines: time, stream, text");
    logs->callback([this] { line_.command = logs_; });
  }

  void AddStop() {
    CLI::App* stop = app_.add_subcommand(
        "stop", "End sandboxes: the image's stop signal, and a kill after the grace");
    stop->add_option("NAME", stop_.sandboxes, "The sandboxes")->required();
    stop->add_option("-t,--time", stop_.grace_s, "Seconds of grace (default 10)")
        ->check(CLI::Range(0u, kMaxGrace_s));
    stop->callback([this] { line_.command = stop_; });
  }

  void AddRemove() {
    CLI::App* remove =
        app_.add_subcommand("rm", "Remove what is left of detached sandboxes that have ended");
    remove->add_option("NAME", remove_.sandboxes, "The sandboxes");
    remove->add_flag("-a,--all", remove_.all, "All that have ended");
    remove->callback([this] {
      if (remove_.all == !remove_.sandboxes.empty()) {
        throw CLI::ValidationError("rm", "name the sandboxes to remove, or give --all");
      }
      line_.command = remove_;
    });
  }

  void AddResume() {
    CLI::App* resume = app_.add_subcommand(
        "resume", "Try again now what a full host disk stopped (it is tried every second anyway)");
    resume->add_option("NAME", resume_.sandboxes, "The sandboxes")->required();
    resume->callback([this] { line_.command = resume_; });
  }

  void AddImageAndServer() {
    app_.add_subcommand("image", "Load, import, tag, list, inspect, check, save and remove images")
        ->callback([this] { line_.command = image_; });
    app_.add_subcommand("server", "Start, stop and show the server; make API keys for it")
        ->callback([this] { line_.command = server_; });
    app_.add_subcommand("mcp", "Speak the Model Context Protocol on standard input and output")
        ->callback([this] { line_.command = server_; });
  }

  void AddCompletion() {
    CLI::App* completion = app_.add_subcommand(
        "completion", "Print what makes a shell complete msb's commands and names");
    completion->add_option("SHELL", completion_.shell, "bash, zsh or fish")
        ->required()
        ->transform(CLI::Transformer(std::map<std::string, Shell>{
            {"bash", Shell::kBash}, {"zsh", Shell::kZsh}, {"fish", Shell::kFish}}))
        ->option_text("SHELL");
    completion->footer(
        "bash: source <(msb completion bash) in ~/.bashrc\n"
        "zsh:  source <(msb completion zsh) in ~/.zshrc, after compinit\n"
        "fish: msb completion fish | source in ~/.config/fish/config.fish");
    completion->callback([this] { line_.command = completion_; });
  }

  std::variant<CommandLine, Leave> FinishExe(ExeOptions& exe) {
    if (exe_text_.image.empty() == exe_text_.positional_image.empty()) {
      return Leave{exe_text_.image.empty()
                       ? "msb: error: which image? Usage: msb exe IMAGE [OPTIONS] [-- ARGUMENTS]\n"
                       : "msb: error: the image is given twice, as IMAGE and by --image\n",
                   kOwnFailure};
    }
    if (app_.get_subcommand("exe")->count("--exec") > 0 && exe.exec.empty()) {
      return Leave{"msb: error: --exec names no program\n", kOwnFailure};
    }
    if (!exe.detach && exe.tty) {
      return Leave{"msb: error: --tty is for a sandbox that is left alone: add -d\n", kOwnFailure};
    }
    exe.arguments = after_dashes_;
    if (!exe_text_.lifetime.empty()) exe.lifetime_ms = *base::ParseDuration(exe_text_.lifetime);
    if (!exe_text_.idle.empty()) exe.idle_ms = *base::ParseDuration(exe_text_.idle);
    exe.image = exe_text_.image + exe_text_.positional_image;
    exe.memory_bytes = *base::ParseSize(exe_text_.memory);
    exe.disk_bytes = *base::ParseSize(exe_text_.disk);
    if (!exe_text_.cpu_list.empty()) exe.cpu_list = *base::ParseCpuList(exe_text_.cpu_list);
    for (const std::string& entry : exe_text_.env) exe.env.emplace_back(entry);
    return line_;
  }

  std::variant<CommandLine, Leave> FinishExec(ExecOptions& exec) {
    exec.arguments = exec_text_.program;
    exec.arguments.insert(exec.arguments.end(), after_dashes_.begin(), after_dashes_.end());
    if (exec.arguments.empty()) {
      return Leave{
          "msb: error: which program? Usage: msb exec NAME [OPTIONS] -- PROGRAM [ARGUMENTS]\n",
          kOwnFailure};
    }
    for (const std::string& entry : exec_text_.env) exec.env.emplace_back(entry);
    return line_;
  }

  CLI::App app_;
  CommandLine line_;
  bool version_ = false;
  ExeText exe_text_;
  ExeOptions exe_;
  ExecText exec_text_;
  ExecOptions exec_;
  AttachOptions attach_;
  CopyText copy_text_;
  CopyOptions copy_;
  PsOptions ps_;
  LogsOptions logs_;
  StopOptions stop_;
  RemoveOptions remove_;
  ResumeOptions resume_;
  std::vector<std::string> after_dashes_;
  ImageOptions image_;
  ServerOptions server_;
  CompletionOptions completion_;
  DoctorOptions doctor_;
};

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::variant<CommandLine, Leave> ParseCommandLine(int argc, const char* const* argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (argc > 0 && BaseName(argv[0]) == "msx") arguments.insert(arguments.begin(), "exe");
  return Parser().Parse(std::move(arguments));
}

base::CommandDescription DescribeCommands() { return Parser().Describe(); }

}  // namespace msb::cli
