#include <CLI/CLI.hpp>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "src/base/command_description.h"
#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/image/commands.h"
#include "src/image/import_options.h"

namespace msb::image {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

int Complain(const std::string& message, int code) {
  (void)base::WriteFull(STDERR_FILENO,
                        "msb: error: " + base::EscapeLinesForTerminal(message) + "\n");
  return code;
}

// The command line of `msb image`, and what it asks for once all of it is known.
class Parser {
 public:
  Parser() : app_("Images that sandboxes are made of.", "msb image") {
    app_.require_subcommand(0, 1);  // none at all is said below, after what is unknown
    AddLoad();
    AddImport();
    AddSave();
    AddTag();
    AddOthers();
  }

  int Run(std::vector<std::string> arguments) {
    if (arguments.size() == 1 && arguments.front() == base::kDescribeFlag) {  // for completion
      return PrintDescription();
    }
    const auto command = std::ranges::find_if(
        arguments, [](const std::string& word) { return !word.starts_with('-'); });
    if (command != arguments.end() && *command == "help") {  // `help ls` is `ls --help`
      const auto topic = arguments.erase(command);
      const auto is_topic = [&](const CLI::App* app) { return app->check_name(*topic); };
      const bool known = topic == arguments.end() || !app_.get_subcommands(is_topic).empty();
      if (known) arguments.push_back("--help");
    }
    std::ranges::reverse(arguments);  // as CLI11 wants them
    try {
      app_.parse(arguments);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return app_.exit(error);  // --help
      return UsageError(error.what());
    }
    if (!wrong_) return UsageError(wrong_.error().message());
    if (!action_) return UsageError("which command?");
    auto home = base::ResolveHome();
    if (!home) return Complain(home.error().message(), kFailure);
    common_.home = *std::move(home);
    const base::Status status = action_();
    return status ? 0 : Complain(status.error().message(), kFailure);
  }

 private:
  CLI::App* AddCommand(const char* name, const char* description) {
    CLI::App* command = app_.add_subcommand(name, description);
    command->add_flag("--json", common_.json, "Print JSON");
    return command;
  }

  // One that takes long.
  CLI::App* AddWork(const char* name, const char* description) {
    CLI::App* command = AddCommand(name, description);
    command->add_flag("-q,--quiet", common_.quiet, "No progress");
    return command;
  }

  // One value a flag, so that a positional argument may follow it.
  static void AddList(CLI::App* command, const char* name, std::vector<std::string>& into,
                      const char* description) {
    command->add_option(name, into, description)->expected(1)->allow_extra_args(false)->take_all();
  }

  // Calls `run` with the value later, or remembers why there is none.
  template <typename T>
  void Later(base::Result<T> value, std::function<base::Status(const T&)> run) {
    if (value) {
      action_ = [value = *std::move(value), run = std::move(run)] { return run(value); };
    } else {
      wrong_ = value.error();
    }
  }

  void AddLoad() {
    CLI::App* command = AddWork("load", "Bring the images of an archive");
    command
        ->add_option("ARCHIVE", words_.path,
                     "An OCI archive or what docker save wrote (.tar, .tar.gz, .tar.zst), a "
                     "directory, or - for standard input")
        ->required();
    AddList(command, "-t,--tag", words_.tags, "Another name for the image (repeatable)");
    command->callback([this] {
      Later<std::vector<std::string>>(ParseTags(words_.tags), [this](const auto& names) {
        return RunLoad(common_, words_.path, names);
      });
    });
  }

  void AddImport() {
    CLI::App* command = AddWork("import", "Make an image of a root file system");
    command
        ->add_option("ROOTFS", words_.path,
                     "A tar (.tar, .tar.gz, .tar.zst), a directory, or - for standard input")
        ->required();
    AddList(command, "-t,--tag", words_.tags, "Its name (repeatable)");
    command->get_option("--tag")->required();
    AddList(command, "--entrypoint", words_.entrypoint,
            "The program: a word, repeatable, or a JSON array");
    AddList(command, "--cmd", words_.cmd,
            "Its arguments, or the program: a word, repeatable, or a JSON array");
    AddList(command, "--env", words_.env, "NAME=VALUE (repeatable)");
    command->add_option("--workdir", words_.workdir, "Where it starts");
    command->add_option("--user", words_.user, "Who it is: a name or number, with :GROUP");
    command->add_option("--stop-signal", words_.stop_signal,
                        "What msb stop sends it (default SIGTERM)");
    command->callback([this] {
      Later<ImportOptions>(ParseImport(words_), [this](const auto& options) {
        return RunImport(common_, words_.path, options);
      });
    });
  }

  void AddSave() {
    CLI::App* command = app_.add_subcommand("save", "Write images to an OCI archive");
    command->add_flag("-q,--quiet", common_.quiet, "No progress");
    command->add_option("IMAGE", names_, "Names or digests")->required();
    command->add_option("-o,--output", output_, "The archive (.tar), or - for standard output")
        ->required();
    command->callback([this] { action_ = [this] { return RunSave(common_, names_, output_); }; });
  }

  void AddTag() {
    CLI::App* command = AddCommand("tag", "Give an image another name");
    command->add_option("IMAGE", name_, "A name or a digest")->required();
    command->add_option("NAME", new_name_, "The new name; moves here if another image has it")
        ->required();
    command->callback([this] {
      Later<std::string>(ParseTag(new_name_),
                         [this](const auto& name) { return RunTag(common_, name_, name); });
    });
  }

  void AddOthers() {
    CLI::App* list = AddCommand("ls", "List the images");
    list->add_flag("-q,--quiet", common_.quiet, "Print names only");
    list->callback([this] { action_ = [this] { return RunList(common_); }; });

    CLI::App* inspect = AddCommand("inspect", "Show an image's configuration");
    inspect->add_option("IMAGE", name_, "A name or a digest")->required();
    inspect->callback([this] { action_ = [this] { return RunInspect(common_, name_); }; });

    CLI::App* remove = AddCommand("rm", "Remove images");
    remove->add_option("IMAGE", names_, "Names, or digests for images with all their names")
        ->required();
    remove->add_flag("-f,--force", force_,
                     "Also what disks of sandboxes need, which can then only be reset");
    remove->callback([this] { action_ = [this] { return RunRemove(common_, names_, force_); }; });

    CLI::App* check = AddWork("check", "Verify every image of the store");
    check->callback([this] { action_ = [this] { return RunCheck(common_); }; });
    app_.add_subcommand("help", "Print this help, or that of a command: help COMMAND");
  }

  int PrintDescription() const {
    const base::Status printed =
        base::WriteFull(STDOUT_FILENO, base::json::Write(base::Describe(app_)));
    return printed ? 0 : Complain(printed.error().message(), kFailure);
  }

  int UsageError(const std::string& message) {
    const auto chosen = app_.get_subcommands();
    const std::string command = chosen.empty() ? "" : chosen.front()->get_name() + " ";
    return Complain(fmt::format("{}\nTry: msb image {}--help", message, command), kUsage);
  }

  CLI::App app_;
  std::function<base::Status()> action_;
  base::Status wrong_;  // what CLI11 cannot know to be wrong
  CommonOptions common_;
  ImportWords words_;
  std::string output_;
  std::string name_;
  std::string new_name_;
  std::vector<std::string> names_;
  bool force_ = false;
};

}  // namespace

int RunCommandLine(int argc, char** argv) {
  return Parser().Run(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}

}  // namespace msb::image
