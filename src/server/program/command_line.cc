#include "src/server/program/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/command_description.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/quantities.h"
#include "src/base/sys.h"
#include "src/server/program/commands.h"

namespace msb::server {
namespace {

constexpr uint64_t kMostOfALimit = 1'000'000;  // of a key's: as good as none
constexpr int kFailure = 1;
constexpr int kUsage = 2;
constexpr int kNoServer = 3;  // of `status`, as service managers have it

int Complain(const std::string& message, int code) {
  (void)base::WriteFull(STDERR_FILENO,
                        "msb: error: " + base::EscapeLinesForTerminal(message) + "\n");
  return code;
}

std::string CheckNamespace(const std::string& text) {
  if (IsNamespaceClaim(text)) return {};
  return fmt::format(
      "namespace \"{}\": 1 to 63 letters, digits, - and _, the first a letter or digit; or * for "
      "all",
      text);
}

template <typename Parse>
CLI::Validator Checked(Parse parse, const char* name) {
  return CLI::Validator(
      [parse](std::string& text) {
        const auto value = parse(text);
        return value ? std::string() : value.error().message();
      },
      name);
}

CLI::Validator Number(uint64_t least, uint64_t most) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        uint64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool whole = error == std::errc() && end == text.data() + text.size();
        if (whole && number >= least && number <= most) return {};
        return fmt::format("{} is not a whole number from {} to {}", text, least, most);
      },
      "NUMBER");
}

class Parser {
 public:
  Parser() : app_("The server: code in sandboxes for SDKs and agents.", "msb server") {
    app_.require_subcommand(0, 1);
    AddStart();
    AddKeygen();
    AddLists();
    AddLog();
    AddOthers();
  }

  int Run(std::vector<std::string> arguments) {
    if (arguments.size() == 1 && arguments.front() == base::kDescribeFlag) {  // for completion
      return PrintDescription();
    }
    const auto command = std::ranges::find_if(
        arguments, [](const std::string& word) { return !word.starts_with('-'); });
    if (command != arguments.end() && *command == "help") {  // `help start` is `start --help`
      const auto topic = arguments.erase(command);
      const auto is_topic = [&](const CLI::App* app) { return app->check_name(*topic); };
      const bool known = topic == arguments.end() || !app_.get_subcommands(is_topic).empty();
      if (known) arguments.push_back("--help");
    }
    std::ranges::reverse(arguments);  // as CLI11 wants them
    try {
      app_.parse(arguments);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return PrintHelp(error);
      return UsageError(error.what());
    }
    if (!action_)
      return UsageError("which command? start, stop, status, list, log, keygen, ssh or mcp");
    base::ConfigureLog({.level = log_level_, .program = "msb"});
    const base::Status status = action_();
    return status ? code_ : Complain(status.error().message(), kFailure);
  }

 private:
  // One value a flag, so that a positional argument may follow it.
  static CLI::Option* AddRepeatable(CLI::App* command, const char* name,
                                    std::vector<std::string>& into, const char* description) {
    return command->add_option(name, into, description)
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all();
  }

  static void AddNamespace(CLI::App* command, std::string& into, const char* description) {
    command->add_option("-n,--namespace", into, description)
        ->check(
            CLI::Validator([](std::string& text) { return CheckNamespace(text); }, "NAMESPACE"));
  }

  void AddStart() {
    CLI::App* start = app_.add_subcommand("start", "Start the server");
    AddRepeatable(start, "--host", start_.hosts,
                  "Address to listen on (default 127.0.0.1; may be repeated)");
    start->add_option("--port", start_.port, "Port (default 5555; 0: any)")
        ->check(Number(0, UINT16_MAX));
    start->add_option("-p,--path", start_.directory,
                      "Where the sandboxes' disks are (default: namespaces in the home)");
    start->add_flag("--dev", start_.dev,
                    "No API keys: for this user's own programs on this machine");
    start->add_flag("--dev-any-user", start_.dev_any_user,
                    "With --dev: for those of other users of this machine, too");
    start->add_option("-k,--key", start_.key,
                      "The server's key from now on: a file, or - for standard input");
    start->add_flag("-r,--reset-key", start_.reset_key,
                    "Make a new key: all API keys made before are void");
    start->add_flag("-d,--detach", start_.detach, "Return once it listens (msb server stop)");
    AddRepeatable(start, "--host-name", start_.host_names,
                  "A name that clients call it by, beside localhost (may be repeated)");
    AddRepeatable(
        start, "--cors-origin", start_.cors_origins,
        "A web page's origin that may call it, as http://localhost:3000 (may be repeated)");
    start->add_flag_callback(
        "--debug", [this] { log_level_ = base::LogLevel::kDebug; }, "Print what is done");
    start->callback([this] { action_ = [this] { return RunStart(start_); }; });
  }

  void AddKeygen() {
    CLI::App* keygen = app_.add_subcommand("keygen", "Make an API key");
    keygen
        ->add_option("--expire", expire_, "How long it is valid (90s, 10m, 12h, 30d; default 24h)")
        ->check(Checked([](const std::string& t) { return base::ParseDuration(t); }, "DURATION"));
    AddNamespace(keygen, keygen_.namespace_, "The namespace it is for (default * : all)");
    AddRepeatable(keygen, "--allow-image", keygen_.images,
                  "An image it may use; * stands for anything (may be repeated; default: all)");
    keygen->add_option("--max-sandboxes", keygen_.limits.sandboxes, "Most sandboxes at once")
        ->check(Number(1, kMostOfALimit));
    keygen->add_option("--max-memory", max_memory_, "Most memory of all of them (512M, 8G)")
        ->check(Checked([](const std::string& t) { return base::ParseSize(t); }, "SIZE"));
    keygen->add_option("--max-cpus", keygen_.limits.cpus, "Most virtual CPUs of all of them")
        ->check(Number(1, kMostOfALimit));
    keygen->add_option("--max-disk", max_disk_, "Most disk of all of them (20G)")
        ->check(Checked([](const std::string& t) { return base::ParseSize(t); }, "SIZE"));
    keygen->add_flag("--json", keygen_.json, "Machine-readable");
    keygen->callback([this] {
      if (!expire_.empty()) keygen_.expire_ms = *base::ParseDuration(expire_);
      constexpr int kMib = 20;
      if (!max_memory_.empty()) keygen_.limits.memory_mib = *base::ParseSize(max_memory_) >> kMib;
      if (!max_disk_.empty()) keygen_.limits.disk_mib = *base::ParseSize(max_disk_) >> kMib;
      action_ = [this] { return RunKeygen(keygen_); };
    });
  }

  void AddLists() {
    CLI::App* status = app_.add_subcommand(
        "status", "Show the server and the sandboxes that run (exit code 3: no server does)");
    status->add_option("NAME", list_.names, "Only these sandboxes");
    CLI::App* list = app_.add_subcommand("list", "List all sandboxes of the server's");
    for (CLI::App* command : {status, list}) {
      AddNamespace(command, list_.namespace_, "Only of this namespace");
      command->add_flag("--json", list_.json, "Machine-readable");
    }
    status->callback([this] {
      action_ = [this]() -> base::Status {
        if (!TRY(RunStatus(list_))) code_ = kNoServer;
        return {};
      };
    });
    list->callback([this] { action_ = [this] { return RunList(list_); }; });
  }

  void AddLog() {
    CLI::App* log = app_.add_subcommand(
        "log", "Print what a sandbox's program wrote; without a name the server's own log");
    log->add_option("NAME", log_.sandbox, "The sandbox (NAME or NAMESPACE/NAME)");
    AddNamespace(log, log_.namespace_, "Its namespace (default: default)");
    log->add_flag("-f,--follow", log_.follow, "Go on until it ends");
    log->add_option("-t,--tail", log_.tail, "Only the last so many lines");
    log->callback([this] { action_ = [this] { return RunLog(log_); }; });
  }

  void AddOthers() {
    app_.add_subcommand("stop", "End the server; its sandboxes go on")->callback([this] {
      action_ = RunStop;
    });
    CLI::App* shell = app_.add_subcommand("ssh", "A shell in a sandbox");
    shell->add_option("NAME", shell_.sandbox, "The sandbox (NAME or NAMESPACE/NAME)")->required();
    AddNamespace(shell, shell_.namespace_, "Its namespace (default: default)");
    shell->callback([this] { action_ = [this] { return RunShell(shell_); }; });
    CLI::App* mcp =
        app_.add_subcommand("mcp", "Model Context Protocol on standard input and output (msb mcp)");
    mcp->add_option("-p,--path", mcp_.directory,
                    "Where the sandboxes' disks are (default: namespaces in the home)");
    mcp->callback([this] { action_ = [this] { return RunMcp(mcp_); }; });
    app_.add_subcommand("help", "Print this help, or that of a command: help COMMAND");
  }

  int PrintDescription() const {
    const base::Status printed =
        base::WriteFull(STDOUT_FILENO, base::json::Write(base::Describe(app_)));
    return printed ? 0 : Complain(printed.error().message(), kFailure);
  }

  // The command that was given, if one was, and what stands before its name.
  CLI::App* Chosen() {
    const auto chosen = app_.get_subcommands();
    return chosen.empty() ? nullptr : chosen.front();
  }
  static std::string ProgramOf(const CLI::App& command) {
    return command.get_name() == "mcp" ? "msb" : "msb server";  // `msb mcp` is what users type
  }

  int PrintHelp(const CLI::ParseError& error) {
    CLI::App* command = Chosen();
    if (command == nullptr) return app_.exit(error);
    const base::Status printed = base::WriteFull(STDOUT_FILENO, command->help(ProgramOf(*command)));
    return printed ? 0 : Complain(printed.error().message(), kFailure);
  }

  int UsageError(const std::string& message) {
    const CLI::App* command = Chosen();
    const std::string called =
        command == nullptr ? "msb server" : ProgramOf(*command) + " " + command->get_name();
    return Complain(fmt::format("{}\nTry: {} --help", message, called), kUsage);
  }

  CLI::App app_;
  std::function<base::Status()> action_;
  int code_ = 0;  // of an action that succeeded
  base::LogLevel log_level_ = base::LogLevel::kWarning;
  StartOptions start_;
  KeygenOptions keygen_;
  std::string expire_, max_memory_, max_disk_;
  ListOptions list_;
  LogOptions log_;
  ShellOptions shell_;
  McpOptions mcp_;
};

}  // namespace

int RunCommandLine(int argc, char** argv) {
  return Parser().Run(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}

}  // namespace msb::server
